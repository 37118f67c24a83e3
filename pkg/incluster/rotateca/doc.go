// Package rotateca is the RotateAuthority Operation: one phase of the rotation of a CA, or of
// the key that signs tokens of service accounts, on every node. What the API has of an
// authority, in ConfigMaps and webhooks, is changed by whoever creates the Operation, with the
// rights of its own (pkg/action/rotateca).
package rotateca
