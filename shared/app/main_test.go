package app

import (
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

type settings struct {
	Addr string `default:"127.0.0.1:1"`
	Size int    `default:"5"`
}

func (s *settings) ListenAddr() string { return s.Addr }

func TestCommands_FillTheConfigThatMainWasGiven(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{nil, {"serve"}, {"healthcheck"}} {
		cfg := &settings{}
		parser, err := kong.New(newCommands(cfg), kong.Name("x"))
		require.NoError(t, err)
		_, err = parser.Parse(append(command, "--addr=127.0.0.1:2"))
		require.NoError(t, err)
		require.Equal(t, &settings{Addr: "127.0.0.1:2", Size: 5}, cfg)
	}
}
