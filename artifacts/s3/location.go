package s3

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/arqon/arqon/artifacts"
)

// Scheme begins every location of this room.
const Scheme = "s3://"

const (
	maxURLBytes    = 2048
	minBucketBytes = 3
	maxBucketBytes = 63
	maxPrefixBytes = 256 // leaves half a kilobyte of S3's 1024 for the names below it
)

// Location is a bucket and the prefix below which a store lives.
type Location struct {
	Bucket string
	Prefix string // clean, without slashes at its ends; "" is the whole bucket
}

// ParseLocation reads s3://bucket/prefix. A trailing slash does not matter;
// anything else that is not plainly a bucket and a clean prefix is ErrLocation.
func ParseLocation(s string) (Location, error) {
	rest, ok := strings.CutPrefix(s, Scheme)
	if !ok || len(s) > maxURLBytes {
		return Location{}, fmt.Errorf("%.80q: want %sbucket/prefix: %w", s, Scheme, ErrLocation)
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if err := checkBucket(bucket); err != nil {
		return Location{}, fmt.Errorf("%.80q: %w", s, err)
	}
	l := Location{Bucket: bucket, Prefix: strings.TrimSuffix(prefix, "/")}
	if l.Prefix == "" {
		return l, nil
	}
	if len(l.Prefix) > maxPrefixBytes {
		return Location{}, fmt.Errorf("%.80q: the prefix is longer than %d bytes: %w", s, maxPrefixBytes, ErrLocation)
	}
	if err := artifacts.CheckName(l.Prefix); err != nil {
		return Location{}, fmt.Errorf("%.80q: %w: %w", s, ErrLocation, err)
	}
	if strings.ContainsAny(l.Prefix, "?#%") {
		return Location{}, fmt.Errorf("%.80q: a prefix has no ?, # or %%: %w", s, ErrLocation)
	}
	return l, nil
}

func checkBucket(bucket string) error {
	plain := len(bucket) >= minBucketBytes && len(bucket) <= maxBucketBytes
	for i, r := range bucket {
		letter := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		inside := i > 0 && i < len(bucket)-1 && (r == '-' || r == '.')
		plain = plain && (letter || inside)
	}
	if !plain || strings.Contains(bucket, "..") {
		return fmt.Errorf("bucket %.80q: want %d to %d lower-case letters, digits, dots and hyphens: %w",
			bucket, minBucketBytes, maxBucketBytes, ErrLocation)
	}
	return nil
}

// String is the one form of the location, which ParseLocation reads.
func (l Location) String() string {
	if l.Prefix == "" {
		return Scheme + l.Bucket
	}
	return Scheme + l.Bucket + "/" + l.Prefix
}

func (l Location) key(name string) string {
	if l.Prefix == "" {
		return name
	}
	return l.Prefix + "/" + name
}

// Endpoint is the service that holds the buckets.
type Endpoint struct {
	Host   string // host or host:port
	Region string
	Secure bool // TLS
	AWS    bool // Amazon's own: buckets are named in the host
}

// endpointVariables are asked in this order.
var endpointVariables = []string{"ARQON_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}

// insecureVariable, set to 1, allows plain http to another machine.
const insecureVariable = "ARQON_S3_INSECURE"

const defaultRegion = "us-east-1"

// EndpointFromEnvironment reads ARQON_S3_ENDPOINT, AWS_ENDPOINT_URL_S3 or
// AWS_ENDPOINT_URL, the first that is set, and AWS_REGION or
// AWS_DEFAULT_REGION. Without any it is Amazon S3 in us-east-1.
func EndpointFromEnvironment() (Endpoint, error) {
	region := defaultRegion
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if v := os.Getenv(name); v != "" {
			region = v
			break
		}
	}
	for _, name := range endpointVariables {
		v := os.Getenv(name)
		if v == "" {
			continue
		}
		e, err := ParseEndpoint(v, os.Getenv(insecureVariable) == "1")
		if err != nil {
			return Endpoint{}, fmt.Errorf("%s: %w", name, err)
		}
		e.Region = region
		return e, nil
	}
	return Endpoint{Host: "s3.amazonaws.com", Region: region, Secure: true, AWS: true}, nil
}

// ParseEndpoint reads https://host[:port], or http:// where the host is this
// machine or insecure is true: without TLS anybody on the way can read what is
// stored and withhold what is new.
func ParseEndpoint(s string, insecure bool) (Endpoint, error) {
	u, err := url.Parse(s)
	if err != nil || len(s) > maxURLBytes || u.Host == "" || u.Hostname() == "" {
		return Endpoint{}, fmt.Errorf("endpoint %.80q: want https://host[:port]: %w", s, ErrLocation)
	}
	if u.User != nil {
		return Endpoint{}, fmt.Errorf("endpoint at %s: credentials do not belong into its address: %w", u.Host, ErrLocation)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return Endpoint{}, fmt.Errorf("endpoint %.80q: want no path after the host: %w", s, ErrLocation)
	}
	e := Endpoint{Host: u.Host, Region: defaultRegion, AWS: strings.HasSuffix(u.Hostname(), ".amazonaws.com")}
	switch {
	case u.Scheme == "https":
		e.Secure = true
	case u.Scheme != "http":
		return Endpoint{}, fmt.Errorf("endpoint %.80q: want https: %w", s, ErrLocation)
	case !insecure && !loopback(u.Hostname()):
		return Endpoint{}, fmt.Errorf("endpoint %.80q: plain http to another machine: use https, or set %s=1: %w", s, insecureVariable, ErrLocation)
	}
	return e, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
