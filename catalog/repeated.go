package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// repeatedKey returns the path of the first object key that appears twice in
// the JSON text b, or "". b must be valid JSON.
func repeatedKey(b []byte) string {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return repeatedIn(dec, "")
}

func repeatedIn(dec *json.Decoder, path string) string {
	tok, err := dec.Token()
	if err != nil {
		return ""
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return ""
	}
	seen := map[string]bool{}
	for i := 0; dec.More(); i++ {
		at := fmt.Sprintf("%s[%d]", path, i)
		if open == '{' {
			tok, err := dec.Token()
			key, isKey := tok.(string)
			if err != nil || !isKey {
				return ""
			}
			at = strings.TrimPrefix(path+"."+key, ".")
			if seen[key] {
				return at
			}
			seen[key] = true
		}
		if found := repeatedIn(dec, at); found != "" {
			return found
		}
	}
	if _, err := dec.Token(); err != nil { // the closing delimiter
		return ""
	}
	return ""
}
