module softfuse.dev/softfuse/scorerlib

go 1.25.0

require (
	github.com/ebitengine/purego v0.11.3
	softfuse.dev/softfuse v0.0.0-00010101000000-000000000000
)

require (
	github.com/tetratelabs/wazero v1.12.0 // indirect
	golang.org/x/sys v0.44.0 // indirect
)

replace softfuse.dev/softfuse => ../
