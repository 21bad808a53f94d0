//! Stubs from the repository's proto/, at every change of it.
use std::path::PathBuf;

const PROTO: &str = "../../../proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = PathBuf::from(std::env::var("OUT_DIR")?).join("sutra.bin");
    let files = [
        "google/rpc/error_details.proto",
        "sutra/v1/admin_service.proto",
        "sutra/v1/concept_service.proto",
        "sutra/v1/embedding_service.proto",
    ];
    tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".google.rpc", "::tonic_types::pb")
        .file_descriptor_set_path(descriptors)
        .compile_protos(&files.map(|file| format!("{PROTO}/{file}")), &[PROTO.to_string()])?;
    println!("cargo:rerun-if-changed={PROTO}");
    Ok(())
}
