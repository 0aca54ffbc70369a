package benchmarks_test

import (
	"errors"
	"fmt"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

func Example() {
	space := benchmarks.Space{
		Parameters: []benchmarks.Parameter{
			{Name: "level", Kind: benchmarks.Int, Min: 1, Max: 9, Default: int64(6)},
			{Name: "window", Kind: benchmarks.Int, Min: 1024, Max: 1 << 20, Log: true, Default: int64(32768)},
			{Name: "dictionary", Kind: benchmarks.Bool},
			{Name: "dictionary_kb", Kind: benchmarks.Int, Min: 1, Max: 64, Default: int64(8),
				When: map[string][]any{"dictionary": {true}}},
		},
		Constraints: []benchmarks.Constraint{{Name: "memory", Expr: "level < 9 || window <= 65536"}},
	}
	if err := space.Check(); err != nil {
		fmt.Println(err)
	}
	fmt.Println("default: ", space.Default())

	p, err := benchmarks.DecodePoint(space, []byte(`{"level": 9, "dictionary": true}`))
	fmt.Println("decoded: ", string(p.Canonical()), err)

	_, err = space.Normalize(benchmarks.Point{"level": 9, "window": 1 << 20})
	fmt.Println("refused: ", err, errors.Is(err, benchmarks.ErrBadCandidate))

	q := space.Sample(seed.Stream(1, "example"))
	back, err := space.Decode(space.Encode(q))
	fmt.Println("sampled: ", back.Equal(q), err)
	// Output:
	// default:  dictionary=false level=6 window=32768
	// decoded:  {"dictionary":true,"dictionary_kb":8,"level":9,"window":32768} <nil>
	// refused:  bad candidate: constraint memory: level < 9 || window <= 65536 does not hold true
	// sampled:  true <nil>
}
