//! Generates the messages from the .proto file and, with the feature `tonic`, the service around them.
//! Needs no protoc: protox compiles the file.

use tonic_prost_build::{Config, FileDescriptorSet, manual};

const PROTO: &str = "peerwalk/v1/hub.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    if std::env::var_os("CARGO_FEATURE_TONIC").is_some() {
        manual::Builder::new().build_transport(false).compile(&services(&descriptors));
    }
    Config::new().compile_fds(descriptors)?;
    Ok(())
}

/// The services of the file, with frames in place of messages: decoding is the conversion's business,
/// which knows the moment of arrival and the limits.
fn services(descriptors: &FileDescriptorSet) -> Vec<manual::Service> {
    let mut services = Vec::new();
    for file in descriptors.file.iter().filter(|file| file.name() == PROTO) {
        for service in &file.service {
            let mut builder = manual::Service::builder().name(service.name()).package(file.package());
            for method in &service.method {
                let mut built = manual::Method::builder()
                    .name(method.name().to_lowercase())
                    .route_name(method.name())
                    .input_type("crate::Frame")
                    .output_type("crate::Frame")
                    .codec_path("crate::grpc::FrameCodec");
                if method.client_streaming() {
                    built = built.client_streaming();
                }
                if method.server_streaming() {
                    built = built.server_streaming();
                }
                builder = builder.method(built.build());
            }
            services.push(builder.build());
        }
    }
    services
}
