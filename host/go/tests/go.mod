module softfuse.dev/softfuse/tests

go 1.25.0

require (
	github.com/BurntSushi/toml v1.6.0
	softfuse.dev/softfuse v0.0.0
)

require (
	github.com/tetratelabs/wazero v1.12.0 // indirect
	golang.org/x/sys v0.44.0 // indirect
)

replace softfuse.dev/softfuse => ../
