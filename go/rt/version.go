package rt

// tandemVersion is the version of Tandem that this package belongs to; the agent shows it.
const tandemVersion = "0.1.0"
