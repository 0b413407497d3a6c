module code-blocks

go 1.26
