package catalog

import "testing"

// A host offers features by name, or all that begin alike.
func TestAHostOffersFeaturesByNameOrByWhatTheyBeginWith(t *testing.T) {
	for _, tc := range []struct {
		features, offered []string
		want              string
	}{
		{nil, nil, ""},
		{[]string{"native"}, nil, "native"},
		{[]string{"native", "x86-64-v3"}, []string{"native", "x86-64-v2"}, "x86-64-v3"},
		{[]string{"native", "x86-64-v3"}, []string{"x86-64-v3", "native"}, ""},
		{[]string{"code-v1", "code-amd64"}, []string{"code-*"}, ""},
		{[]string{"code-v1", "codec"}, []string{"code-*"}, "codec"},
		{[]string{"code-*"}, []string{"code-v1"}, "code-*"}, // only a host may say so
		{[]string{"anything"}, []string{"*"}, ""},
	} {
		if got := Lacks(tc.features, tc.offered); got != tc.want {
			t.Errorf("%v of %v lacks %q, want %q", tc.features, tc.offered, got, tc.want)
		}
	}
}
