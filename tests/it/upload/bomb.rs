//! Tests of components that are expensive to compile.

use test_artifacts::ECHO;

use super::wasm::{COMPONENT, bomb, section, with_manifest};
use crate::app::{App, open_manifest};

const BARE: &str = "[plugin]\nname = 'bomb'\nversion = '1'\n";

#[tokio::test]
async fn a_compile_bomb_ends_while_the_host_goes_on() {
    let app = App::configured(|config| config.compile.cpu = "2s".parse().unwrap()).await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, &open_manifest("echo", ""), &[]).await;

    let upload = acme.upload("bomb", with_manifest(&bomb(400, 1_000), BARE));
    tokio::pin!(upload);
    let meanwhile = async {
        for _ in 0..50 {
            app.get("/acme/echo/x").send().await.expect(200);
        }
    };
    tokio::select! {
        biased;
        _ = &mut upload => panic!("the upload was over before the requests were served"),
        () = meanwhile => {}
    }
    let refused = upload.await;
    let refused = refused.expect_problem(422, "compile-limit").json();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("2s of CPU time"), "{detail}");
    acme.deploy(ECHO, &open_manifest("after", ""), &[]).await;
}

#[tokio::test]
async fn a_compilation_has_a_memory() {
    let app = App::configured(|config| config.compile.memory = "256MiB".parse().unwrap()).await;
    let acme = app.tenant("acme").await;
    let reply = acme.upload("bomb", with_manifest(&bomb(1, 20_000), BARE)).await;
    reply.expect_problem(422, "compile-limit");
    acme.deploy(ECHO, &open_manifest("after", ""), &[]).await;
}

#[tokio::test]
async fn however_little_memory_there_is_the_component_is_not_blamed() {
    for memory in ["24MiB", "32MiB", "40MiB", "48MiB", "64MiB", "96MiB", "128MiB"] {
        let app = App::configured(|config| config.compile.memory = memory.parse().unwrap()).await;
        let acme = app.tenant("acme").await;
        let reply = acme
            .upload("echo", crate::app::bundled(ECHO, &open_manifest("echo", ""), &[]))
            .await;
        if reply.status != 201 {
            reply.expect_problem(422, "compile-limit");
        }
    }
}

#[tokio::test]
async fn too_many_parts_are_refused_before_anything_is_compiled() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let nested = (0..9).fold(COMPONENT.to_vec(), |inner, _| {
        [COMPONENT, &section(4, &inner)].concat()
    });
    let modules = [COMPONENT, &section(1, super::wasm::MODULE).repeat(65)].concat();
    for (bytes, reason) in [
        (nested, "nested deeper than 8"),
        (modules, "more than 64 modules"),
        (bomb(1, 130_000), "a function of more than 1048576 bytes"),
        (bomb(100_001, 1), "more than 100000 functions"),
    ] {
        let reply = acme.upload("bomb", with_manifest(&bytes, BARE)).await;
        let reply = reply.expect_problem(422, "invalid-component").json();
        let detail = reply["detail"].as_str().unwrap();
        assert!(detail.contains(reason), "{detail}");
    }
}
