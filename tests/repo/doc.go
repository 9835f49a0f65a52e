// Package repo holds the rules of this repository that someone may forget and
// no compiler checks: doc comments, go.mod files, pairs of migrations, small
// mains, portable text, Makefile help. It reads the tree and builds nothing.
//
// What can be said of a single Go file is golangci-lint's and stands in
// .golangci.yml.
package repo
