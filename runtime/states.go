package runtime

// State is where a class's rollout stands. The zero State is none: no
// transition leads there.
type State uint8

// The states. Proposed, Validated and RollingBack are passed through within
// one call; they exist so that the log can say how far a change came.
const (
	NoState     State = iota
	Idle              // nothing in flight
	Proposed          // received
	Validated         // allowed
	StagedState       // loaded beside the incumbent, share 0; in shadow if Limits say so
	Canary            // serving a share
	Paused            // serving a share that does not grow
	Promoted          // became the incumbent; nothing in flight
	RollingBack       // the pointer is being swapped back
	RolledBack        // cooling down
	Killed            // the kill switch is on
	stateCount
)

var stateNames = [...]string{
	"none", "idle", "proposed", "validated", "staged", "canary", "paused", "promoted", "rolling back", "rolled back", "killed",
}

func (s State) String() string { return nameOf(stateNames[:], int(s), "state") }

type event uint8

const (
	evPropose  event = iota
	evValidate       // every check passed
	evStage          // the candidate is loaded
	evWiden          // it gets a (larger) share
	evPause
	evResume
	evPromote  // it becomes the incumbent
	evSettle   // only knobs moved: nothing stays in flight
	evAbort    // back to what served before
	evBreach   // back to the baseline
	evReturned // the swap back has happened
	evCool     // the cool-down has passed
	evRelease  // a new release took over
	evKill
	evRevive
	eventCount
)

var eventNames = [...]string{
	"propose", "validate", "stage", "widen", "pause", "resume", "promote", "settle", "abort", "breach", "returned", "cool", "release", "kill", "revive",
}

func (e event) String() string { return nameOf(eventNames[:], int(e), "event") }

// next is the whole machine. A cell that is not listed is illegal: the event
// is refused and the state stays. Abort, breach and kill are honoured wherever
// something could be in flight, pause included.
var next = [stateCount][eventCount]State{
	NoState: {},
	Idle: {
		evPropose: Proposed, evAbort: RollingBack, evBreach: RollingBack, evRelease: Idle, evKill: Killed,
	},
	Proposed: {
		evValidate: Validated, evAbort: RollingBack, evBreach: RollingBack, evRelease: Idle, evKill: Killed,
	},
	Validated: {
		evStage: StagedState, evAbort: RollingBack, evBreach: RollingBack, evRelease: Idle, evKill: Killed,
	},
	StagedState: {
		evWiden: Canary, evPromote: Promoted, evSettle: Idle, evAbort: RollingBack, evBreach: RollingBack,
		evRelease: Idle, evKill: Killed,
	},
	Canary: {
		evWiden: Canary, evPause: Paused, evPromote: Promoted, evAbort: RollingBack, evBreach: RollingBack,
		evRelease: Idle, evKill: Killed,
	},
	Paused: {
		evResume: Canary, evAbort: RollingBack, evBreach: RollingBack, evRelease: Idle, evKill: Killed,
	},
	Promoted: {
		evPropose: Proposed, evAbort: RollingBack, evBreach: RollingBack, evRelease: Idle, evKill: Killed,
	},
	RollingBack: {
		evReturned: RolledBack, evKill: Killed,
	},
	RolledBack: {
		evCool: Idle, evAbort: RollingBack, evBreach: RollingBack, evRelease: RolledBack, evKill: Killed,
	},
	Killed: {
		evKill: Killed, evRevive: Idle,
	},
}

// step returns where an event leads, and whether it is legal.
func step(s State, e event) (State, bool) {
	if s >= stateCount || e >= eventCount {
		return s, false
	}
	to := next[s][e]
	if to == NoState {
		return s, false
	}
	return to, true
}
