package v1alpha1

// AnnotationAgentImage is on an Operation: the agent image that carries it out. It
// is that of the program which created the Operation, and so knows all that is in it.
const AnnotationAgentImage = Group + "/agent-image"
