"""Files as pages show them: what they wait for, how their columns can be read, and their rows once scored."""
