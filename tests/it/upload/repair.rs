//! Tests that a new upload repairs a component that is damaged on disk.

use mortise::domain::id::VersionDigest;

use super::wasm::{plugin, with_manifest};
use crate::app::{App, open_manifest};

#[tokio::test]
async fn the_same_bytes_mend_what_is_damaged() {
    let component = with_manifest(&plugin("", ""), &open_manifest("p", ""));
    let digest = VersionDigest::of(&component);
    // Garbage, an empty file, and no file.
    for damage in [Some(b"garbage".as_slice()), Some(b"".as_slice()), None] {
        let app = App::start().await;
        let acme = app.tenant("acme").await;
        acme.deploy_bundled(component.clone()).await;
        let app = app
            .restart_after(
                async |data| {
                    for (folder, extension) in [("components", "wasm"), ("compiled", "cwasm")] {
                        let file = data.join(folder).join(digest.to_hex()).with_extension(extension);
                        match damage {
                            Some(bytes) => std::fs::write(file, bytes).unwrap(),
                            None => std::fs::remove_file(file).unwrap(),
                        }
                    }
                },
                |_| {},
            )
            .await;
        let broken = app.get("/acme/p/x").send().await;
        assert!(broken.status.is_server_error(), "{}", broken.text());

        let path = "/tenants/acme/plugins/p/versions";
        let upload = app.admin("POST", path).header("content-type", "application/wasm");
        upload.body(component.clone()).send().await.expect(200);
        let stored = std::fs::read(&app.files("components")[0]).unwrap();
        assert_eq!(VersionDigest::of(&stored), digest);
        app.get("/acme/p/x").send().await.expect(200);
    }
}
