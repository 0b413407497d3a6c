module softfuse.dev/softfuse/bench

go 1.25.0

require (
	github.com/sony/gobreaker/v2 v2.4.0
	softfuse.dev/softfuse v0.0.0
)

require (
	github.com/tetratelabs/wazero v1.12.0 // indirect
	golang.org/x/sys v0.44.0 // indirect
)

replace softfuse.dev/softfuse => ../
