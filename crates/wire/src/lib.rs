//! The protocol between sidecar and hub, and its conversion to the model.
