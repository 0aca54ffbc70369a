package s3_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/s3"
)

func TestParseLocation(t *testing.T) {
	for in, want := range map[string]string{
		"s3://bucket": "s3://bucket", "s3://bucket/": "s3://bucket", "s3://my.bucket-1/a/b/": "s3://my.bucket-1/a/b", "s3://b12/a b": "s3://b12/a b",
	} {
		l, err := s3.ParseLocation(in)
		if err != nil || l.String() != want {
			t.Errorf("%q: %v, %v", in, l, err)
		}
	}
	for _, in := range []string{
		"", "s3://", "s3:///x", "s3://Bucket/x", "s3://b/x", "s3://bucket//x", "s3://bucket/../x", "s3://bucket/x//", "s3://bucket/.x",
		"s3://user:pass@bucket/x", "s3://bucket:9000/x", "s3://bucket/x?y", "s3://bucket/x#y", "s3://bucket/%2e%2e", "s3://-bucket/x", "s3://bu..cket/x",
		"S3://bucket/x", "http://bucket/x", "s3://bucket/" + strings.Repeat("x/", 200) + "x", "s3://bucket/a\\b",
	} {
		if l, err := s3.ParseLocation(in); !errors.Is(err, s3.ErrLocation) {
			t.Errorf("%q: %v, %v", in, l, err)
		}
	}
}

func TestParseEndpoint(t *testing.T) {
	for in, secure := range map[string]bool{
		"https://s3.example.org": true, "https://s3.example.org:9000/": true,
		"http://127.0.0.1:7070": false, "http://localhost": false, "http://[::1]:7070": false,
	} {
		e, err := s3.ParseEndpoint(in, false)
		if err != nil || e.Secure != secure || e.AWS {
			t.Errorf("%q: %+v, %v", in, e, err)
		}
	}
	for _, in := range []string{
		"", "s3.example.org", "http://s3.example.org", "http://127.0.0.1.example.org", "http://10.0.0.1:9000", "ftp://localhost",
		"https://key:secret@s3.example.org", "https://s3.example.org/bucket", "https://s3.example.org?x", "https://", "http://localhost.example.org",
	} {
		if e, err := s3.ParseEndpoint(in, false); !errors.Is(err, s3.ErrLocation) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %+v, %v", in, e, err)
		}
	}
	if e, err := s3.ParseEndpoint("http://10.0.0.1:9000", true); err != nil || e.Secure {
		t.Errorf("insecure: %+v, %v", e, err)
	}
	if e, err := s3.ParseEndpoint("https://s3.eu-central-1.amazonaws.com", false); err != nil || !e.AWS {
		t.Errorf("amazon: %+v, %v", e, err)
	}
}

func TestEndpointFromEnvironment(t *testing.T) {
	for _, name := range []string{"ARQON_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "ARQON_S3_INSECURE"} {
		t.Setenv(name, "")
	}
	check := func(want s3.Endpoint) {
		t.Helper()
		if e, err := s3.EndpointFromEnvironment(); err != nil || e != want {
			t.Errorf("%+v, %v, want %+v", e, err, want)
		}
	}
	check(s3.Endpoint{Host: "s3.amazonaws.com", Region: "us-east-1", Secure: true, AWS: true})
	t.Setenv("AWS_ENDPOINT_URL", "https://c.example.org")
	check(s3.Endpoint{Host: "c.example.org", Region: "us-east-1", Secure: true})
	t.Setenv("AWS_DEFAULT_REGION", "eu-central-1")
	t.Setenv("AWS_ENDPOINT_URL_S3", "https://b.example.org")
	check(s3.Endpoint{Host: "b.example.org", Region: "eu-central-1", Secure: true})
	t.Setenv("ARQON_S3_ENDPOINT", "http://10.0.0.1:9000")
	if _, err := s3.EndpointFromEnvironment(); !errors.Is(err, s3.ErrLocation) || !strings.Contains(err.Error(), "ARQON_S3_ENDPOINT") {
		t.Error(err)
	}
	t.Setenv("ARQON_S3_INSECURE", "1")
	check(s3.Endpoint{Host: "10.0.0.1:9000", Region: "eu-central-1"})
}

func FuzzParseLocation(f *testing.F) {
	for _, s := range []string{"s3://bucket/a/b", "s3://bucket", "s3://b/../x", "s3://bucket/a//b", "s3://bucket/a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := s3.ParseLocation(s)
		if err != nil {
			return
		}
		again, err := s3.ParseLocation(l.String())
		if err != nil || again != l {
			t.Fatalf("%q became %q, then %v, %v", s, l, again, err)
		}
		if l.Prefix != "" && artifacts.CheckName(l.Prefix) != nil {
			t.Fatalf("%q was accepted", s)
		}
	})
}
