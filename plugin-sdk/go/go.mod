module refrain

go 1.27
