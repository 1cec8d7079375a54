// Package long holds what takes minutes or hours: thousand cycles and the soak of
// a node under faults. It runs with FAIRLEAD_LONG set to the length of the soak, by
// "make long", and prints its figures with the date.
package long
