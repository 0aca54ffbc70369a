// Package external makes any program a domain: one that speaks the process
// protocol arqon-domain/1 ([New]), or an existing benchmark command whose
// output is mined for metrics ([NewCommand]).
//
// It does not trust the program: every operation has a deadline, every line
// and file read is bounded, the environment is scrubbed, and a program that
// misbehaves is killed with its whole process group, restarted, and after
// repeated crashes quarantined. It is no sandbox: the program runs with the
// user's rights.
//
// # The protocol
//
// UTF-8 JSON lines on stdin and stdout, at most 1 MiB each; stderr is the log.
// One request is in flight a process, and its id is echoed.
//
//	→ {"id":1,"op":"hello","protocol":"arqon-domain/1"}
//	← {"id":1,"ok":true,"name":"gzip","version":"1"}
//	→ {"id":2,"op":"describe"}
//	← {"id":2,"ok":true,"space":{"parameters":[…]},"metrics":[…],"scenarios":[…],"baseline":{…}}
//	→ {"id":3,"op":"build","point":{…},"seed":1,"dir":"DIR"}
//	← {"id":3,"ok":true,"files":[{"path":"params.json","media_type":"application/json"}]}
//	→ {"id":4,"op":"measure","point":{…},"dir":"DIR","scenario":"small","seed":7,"repeats":3,"fidelity":1,
//	   "perturbation":{"kind":"noise","level":0.1}}
//	← {"id":4,"ok":true,"samples":[{"ns_per_byte":3.1,"ratio":2.9}, …]}
//	→ {"id":5,"op":"check","point":{…},"dir":"DIR","seed":7}
//	← {"id":5,"ok":true,"checks":[{"name":"round trip","pass":true,"detail":""}]}
//	→ {"id":6,"op":"answer","point":{…},"dir":"DIR","questions":["sample-1"]}
//	← {"id":6,"ok":true,"answers":[{"question":"sample-1","values":[2.5,7],"tolerance":0.001}]}
//	→ {"id":7,"op":"shutdown"}
//	← {"id":4,"ok":false,"error":{"code":"bad_candidate","message":"…"}}
//
// The codes are bad_candidate, build_failed, timeout, crash and unsupported.
// A parameter is {"name","kind","min","max","scale":"log","choices","default",
// "when":{NAME:[VALUE, …]}}, its kind one of float, int, bool, categorical,
// ordinal and permutation. A metric is {"name","unit","direction","kind","role",
// "tolerance","limit"}: lower or higher, deterministic or measured, success or
// guardrail. A scenario is {"name","features":{NAME:NUMBER}}. docs/studies.md
// says what each means.
//
// Optional on the wire: "log":true on a parameter, the same as "scale":"log";
// "constraints":[{"name","expr"}] in the space; "compare":"difference" and
// "range":[LO,HI] on a metric; "success", "tolerances" and "limits" on a
// scenario; "starts":[POINT, …] in the answer to describe, points that a search
// begins with; "type" in the answer to build; "items":[{METRIC:[NUMBER, …]}, …]
// in the answer to measure, one object a sample, of metrics with a range: gates
// pair them item by item. A program that says "purpose":true in its hello is
// told "purpose":"gates" when a measurement is for the gates, and then takes
// data that the search never sees. A program that answers describe and measure
// alone, and "unsupported" to the rest, is usable: without hello it is called
// "external", version "0"; without build (it is asked once) a bundle holds the
// parameters (params.json); without check the correctness gate has nothing to
// go by and says so.
//
// answer is optional too: golden answers to small questions of the program's
// own, which a release carries and a host asks again (benchmarks.Answerer).
// Without questions it answers all that it asks today. An answer has "values"
// with a "tolerance" relative to max(1, |value|), or the sha256 "digest" of its
// bytes.
//
// seed is an unsigned 64-bit number: a program that reads JSON numbers as
// doubles keeps 53 bits of it, which is harmless as long as it does so always.
//
// [Serve] is the program's side for a domain written in Go, and the protocol's
// reference implementation. arqon domain serve NAME runs it for a built-in
// domain, and arqon domain check -- COMMAND looks whether a program keeps the
// contract.
package external
