module example.org/plugin

go 1.27

require refrain v0.0.0

replace refrain => ../.sdk/go
