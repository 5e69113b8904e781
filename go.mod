module unifaas.dev

go 1.26
