package charttest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Values that a page tells people to write install.
func TestPage_ShowsValuesThatInstall(t *testing.T) {
	t.Parallel()
	published := newOpenAPI(t)
	values, objects := 0, 0
	for _, block := range yamlBlock.FindAllStringSubmatch(page(t), -1) {
		switch text := block[1]; {
		case strings.HasPrefix(text, "# values"):
			require.NotEmpty(t, decode(t, parse(t, text)), text)
			values++
		case strings.Contains(text, "kind: Job"):
			require.NoError(t, published.validate(t, meta.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, text))
			objects++
		}
	}
	require.Equal(t, 4, values)
	require.Equal(t, 1, objects)
}

// It names volumes as the chart does.
func TestPage_NamesTheVolumes(t *testing.T) {
	t.Parallel()
	for _, set := range only[*apps.StatefulSet](decode(t, examples(t)["sqlite"])) {
		require.Contains(t, page(t), "claimName: "+set.Spec.VolumeClaimTemplates[0].Name+"-"+set.Name+"-0")
	}
}

func TestPage_LinksToWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(page(t), -1) {
		_, err := os.Stat(filepath.Join(root, "docs", link[1]))
		require.NoError(t, err)
	}
}

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "deploy-kubernetes.md"))
	require.NoError(t, err)
	return string(text)
}
