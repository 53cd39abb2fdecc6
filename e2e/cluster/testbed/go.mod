module peerwalk.dev/cluster/testbed

go 1.25.0
