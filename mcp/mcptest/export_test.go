package mcptest

// PairOn is Pair with a tap of the test's own.
var PairOn = pair
