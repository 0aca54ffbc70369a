package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// The toy is a program that speaks arqon-domain/1 and whose metrics are all
// deterministic: a night over it depends on no clock, so scripts can say what
// comes out of it. It is the test binary under another name.
//
//	toy                 well-behaved
//	toy hang            never answers a measurement
//	toy crash           exits at the first measurement
//	toy flood           answers a measurement with 10 MiB without a newline
//	toy nan             measures NaN
//	toy breaks-after=9  well-behaved for 9 measurements, then crashes for as long as the file "broken" is there
//	toy moved           well-behaved, with another baseline
//	toy other           answers its golden question with nothing
//	toy slow=2ms        takes that long for every measurement
//	toy shuffle=4ms     takes up to that long, never twice the same
//	toy crash-above=.4  exits when x is above that
//	toy nan-above=.4    measures NaN when x is above that
//	toy inf-above=.4    measures Infinity, −Infinity and 1e999 in turns when x is above that
//	toy hang-above=.9   never answers when x is above that
//	toy refuse-above=.4 answers bad_candidate when x is above that
//	toy space=EMPTY     describes a space that cannot be searched: empty, twice, never or nothing
const toyDescription = `"ok":true,
"space":{"parameters":[
  {"name":"x","kind":"float","min":0,"max":1,"default":0.5},
  {"name":"y","kind":"int","min":1,"max":9,"default":5},
  {"name":"mode","kind":"categorical","choices":["plain","fancy"],"default":"plain"}]},
"metrics":[
  {"name":"cost","unit":"units","direction":"lower","kind":"deterministic","role":"success","compare":"ratio","tolerance":0.05},
  {"name":"quality","unit":"1","direction":"higher","kind":"deterministic","role":"guardrail","compare":"difference","tolerance":0.05,"range":[0,1]}],
"scenarios":[{"name":"near","features":{"distance":1}},{"name":"far","features":{"distance":9}}],
"baseline":{"x":0.5,"y":5,"mode":"plain"}`

type toyPoint struct {
	X    float64 `json:"x"`
	Y    float64 `json:"y"`
	Mode string  `json:"mode"`
}

// cost is a bowl whose bottom lies elsewhere in each scenario.
func (p toyPoint) cost(scenario string) float64 {
	x, y := .2, 3.0
	if scenario == "far" {
		x, y = .8, 7
	}
	c := 1 + 4*(p.X-x)*(p.X-x) + .1*math.Abs(p.Y-y)
	if p.Mode == "fancy" {
		c *= .9
	}
	return c
}

// toyMain is the program.
func toyMain() {
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 2<<20)
	measured := 0
	for in.Scan() {
		var q struct {
			ID           uint64   `json:"id"`
			Op           string   `json:"op"`
			Point        toyPoint `json:"point"`
			Dir          string   `json:"dir"`
			Scenario     string   `json:"scenario"`
			Repeats      int      `json:"repeats"`
			Questions    []string `json:"questions"`
			Perturbation *struct {
				Level float64 `json:"level"`
			} `json:"perturbation"`
		}
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, "toy:", err)
			os.Exit(3)
		}
		answer := `"ok":true`
		switch q.Op {
		case "hello":
			answer = `"ok":true,"name":"toy","version":"1"`
		case "describe":
			answer = strings.ReplaceAll(toyDescription, "\n", "")
			if what, kind, _ := strings.Cut(mode, "="); what == "space" {
				answer = toySpaces[kind].Replace(answer)
			}
			if mode == "moved" {
				answer = strings.ReplaceAll(answer, `"baseline":{"x":0.5`, `"baseline":{"x":0.45`)
			}
		case "build":
			b, err := json.Marshal(q.Point)
			if err == nil {
				err = os.WriteFile(q.Dir+"/params.json", b, 0o644)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "toy:", err)
				os.Exit(3)
			}
			answer = `"ok":true,"files":[{"path":"params.json","media_type":"application/json"}]`
		case "measure":
			measured++
			if toyMisbehave(mode, measured, q.ID, q.Point.X) {
				continue
			}
			c := q.Point.cost(q.Scenario)
			if q.Perturbation != nil {
				c *= 1 + q.Perturbation.Level
			}
			sample := fmt.Sprintf(`{"cost":%v,"quality":%v}`, c, .9-.02*math.Abs(q.Point.X-.5))
			answer = `"ok":true,"samples":[` + strings.TrimSuffix(strings.Repeat(sample+",", q.Repeats), ",") + `]`
		case "check":
			answer = `"ok":true,"checks":[{"name":"bowl","pass":true,"detail":""}]`
		case "answer":
			answer = fmt.Sprintf(`"ok":true,"answers":[{"question":"bowl-1","values":[%v,%v],"tolerance":1e-9}]`, q.Point.cost("near"), q.Point.cost("far"))
			switch {
			case len(q.Questions) > 0 && q.Questions[0] != "bowl-1":
				answer = `"ok":false,"error":{"code":"unsupported","message":"no such question"}`
			case mode == "other":
				answer = `"ok":true,"answers":[{"question":"bowl-1","values":[0,0],"tolerance":1}]`
			}
		case "shutdown":
			os.Exit(0)
		default:
			answer = `"ok":false,"error":{"code":"unsupported","message":"no ` + q.Op + `"}`
		}
		fmt.Printf("{\"id\":%d,%s}\n", q.ID, answer)
	}
}

// toySpaces are descriptions with a space that cannot be searched.
var toySpaces = map[string]*strings.Replacer{
	"empty":   strings.NewReplacer(`"min":1,"max":9,"default":5`, `"min":9,"max":9,"default":9`),
	"twice":   strings.NewReplacer(`"name":"y"`, `"name":"x"`),
	"never":   strings.NewReplacer(`"min":1,"max":9,"default":5`, `"min":1,"max":9,"default":5,"when":{"mode":["none"]}`),
	"nothing": strings.NewReplacer(`"default":"plain"}]}`, `"default":"plain"}],"constraints":[{"name":"impossible","expr":"x > 2"}]}`),
}

// toyMisbehave reports whether it has answered in its own way.
func toyMisbehave(mode string, measured int, id uint64, x float64) (answered bool) {
	what, value, _ := strings.Cut(mode, "=")
	switch what {
	case "hang":
		time.Sleep(time.Hour)
	case "crash":
		fmt.Fprintln(os.Stderr, "toy: on purpose")
		os.Exit(7)
	case "breaks-after":
		if _, err := os.Stat("mended"); err == nil {
			return false
		}
		_, err := os.Stat("broken")
		if n, bad := strconv.Atoi(value); err == nil || bad != nil || measured > n {
			if err := os.WriteFile("broken", nil, 0o644); err != nil {
				fmt.Fprintln(os.Stderr, "toy:", err)
			}
			os.Exit(7)
		}
	case "flood":
		fmt.Print(strings.Repeat("x", 10<<20))
	case "crash-above", "nan-above", "inf-above", "hang-above", "refuse-above":
		limit, err := strconv.ParseFloat(value, 64)
		switch {
		case err == nil && x <= limit:
		case what == "nan-above":
			return toyMisbehave("nan", measured, id, x)
		case what == "inf-above":
			fmt.Printf("{\"id\":%d,\"ok\":true,\"samples\":[{\"cost\":%s,\"quality\":0.9}]}\n", id, []string{"Infinity", "-Infinity", "1e999"}[measured%3])
			return true
		case what == "hang-above":
			return toyMisbehave("hang", measured, id, x)
		case what == "refuse-above":
			fmt.Printf("{\"id\":%d,\"ok\":false,\"error\":{\"code\":\"bad_candidate\",\"message\":\"x is too large\"}}\n", id)
			return true
		default:
			os.Exit(7)
		}
	case "nan":
		fmt.Printf("{\"id\":%d,\"ok\":true,\"samples\":[{\"cost\":NaN,\"quality\":0.9}]}\n", id)
		return true
	case "slow", "shuffle":
		d, err := time.ParseDuration(value)
		if err == nil && what == "shuffle" {
			d = time.Duration(time.Now().UnixNano()) % d
		}
		if err == nil {
			time.Sleep(d)
		}
	}
	return false
}
