module drover.test/nodes

go 1.26.0
