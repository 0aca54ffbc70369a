package catalog

// EncodeUnchecked writes what EncodeManifest would refuse, as far as JSON can
// say it.
func EncodeUnchecked(r Release) (Files, error) { return encode(normal(r)) }

// DecodeShardLong is decodeShard without the short way.
func DecodeShardLong(b []byte) error {
	var s shard
	return decodeLong("", b, &s)
}

// DecodeShardShort is the short way alone.
func DecodeShardShort(b []byte) bool {
	var s shard
	return newScan(b).shard(&s)
}
