module softfuse.dev/softfuse/tests

go 1.26.0

require (
	github.com/BurntSushi/toml v1.6.0
	softfuse.dev/softfuse v0.0.0
)

require github.com/ebitengine/purego v0.11.3 // indirect

require (
	github.com/tetratelabs/wazero v1.12.0 // indirect
	golang.org/x/exp/typeparams v0.0.0-20231108232855-2478ac86f678 // indirect
	golang.org/x/mod v0.41.0 // indirect
	golang.org/x/sync v0.23.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
	honnef.co/go/tools v0.8.2 // indirect
	softfuse.dev/softfuse/scorerlib v0.0.0
)

replace softfuse.dev/softfuse => ../

tool honnef.co/go/tools/cmd/staticcheck

replace softfuse.dev/softfuse/scorerlib => ../scorerlib
