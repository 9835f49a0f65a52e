// Package charttest holds the Helm chart to what Kubernetes accepts and to what
// the services are: the chart is linted and rendered by Helm's own packages, and
// what comes out is read by Kubernetes' own types and schemas. It needs no
// cluster.
//
// It is a module of its own, outside go.work, so that the requirements of Helm
// and Kubernetes decide on no version that the product is built with.
package charttest
