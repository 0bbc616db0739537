//! A1 to A3: malformed and oversized uploads.

use anyhow::ensure;
use rig::guest::Recipe;
use rig::process::resident;
use serde_json::json;

use crate::catalogue::{Row, Seen};
use crate::stage::Stage;
use rig::wasm::{COMPONENT, MODULE};
use rig::wire::Wire;

pub const ROWS: [Row; 3] = [
    Row {
        id: "A1",
        tried: "a component one byte over the limit, announced and not",
        run: a1,
    },
    Row {
        id: "A2",
        tried: "compressed uploads that would unpack to a gigabyte",
        run: a2,
    },
    Row {
        id: "A3",
        tried: "text, a core module, native code, noise",
        run: a3,
    },
];

fn a1(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant("a1")?;
    let fits = Recipe::from_bytes("raw", COMPONENT.to_vec())
        .without_routes()
        .guest()
        .component;
    tenant.limit(&json!({ "component_size": format!("{}B", fits.len()) }))?;
    tenant.upload("raw", &fits)?.is("201")?;
    let over = tenant
        .upload("raw", &[fits.as_slice(), b"x"].concat())?
        .is("413 body-too-large")?;
    // The length is not announced, and the body is longer than the host may read.
    let before = resident(host.id())?;
    let token = std::fs::read_to_string(host.data().join("operator.token"))?;
    let mut wire = Wire::connect(host.admin)?;
    wire.send(format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/wasm\r\n\
         transfer-encoding: chunked\r\n\r\n",
        tenant.path("/plugins/raw/versions"),
        token.trim()
    ));
    let chunk = [b"10000\r\n".as_slice(), &[0; 0x10000], b"\r\n"].concat();
    let sent = (0..1_024).take_while(|_| wire.send(&chunk)).count();
    let answer = wire.read_past("\r\n\r\n").unwrap_or_default();
    ensure!(answer.is_empty() || answer.contains(" 413 "), "{answer}");
    let grown = resident(host.id())?.saturating_sub(before);
    ensure!(
        grown < 48 << 20,
        "{sent} chunks made the host {grown} bytes larger"
    );
    Ok(format!(
        "{}; without a length it was cut off, {} MiB larger",
        over.seen(),
        grown >> 20
    ))
}

fn a2(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant("a2")?;
    let mut seen = Vec::new();
    for (encoding, bytes) in [
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec()),
        ("zstd", b"\x28\xb5\x2f\xfd\x24\0".to_vec()),
        ("deflate", b"\x78\x9c".to_vec()),
    ] {
        let bytes = [bytes, vec![0; 1 << 20]].concat();
        let path = tenant.path("/plugins/raw/versions");
        let client = host.admin().header("content-encoding", encoding);
        let reply = client.send("POST", &path, Some(("application/wasm", &bytes)))?;
        seen.push(
            reply
                .is("415 unsupported-media-type|422 invalid-component|413 body-too-large")?
                .seen(),
        );
    }
    let zip = tenant.upload("raw", &[b"PK\x03\x04".as_slice(), &[0; 1 << 16]].concat())?;
    seen.push(zip.is("422 invalid-component")?.seen());
    Ok(seen.join(", "))
}

fn a3(stage: &Stage) -> Seen {
    let tenant = stage.plain()?.tenant("a3")?;
    let elf = std::fs::read("/proc/self/exe")?;
    let noise: Vec<u8> = (0..100_000)
        .map(|_| u8::try_from(stage.random(256)).unwrap_or(0))
        .collect();
    let half = &stage.guests.echo.component[..stage.guests.echo.component.len() / 2];
    let cases: [(&str, &[u8]); 8] = [
        ("text", b"(component)"),
        ("module text", b"(module (func (export \"run\")))"),
        ("core module", MODULE),
        ("native code", &elf[..elf.len().min(1 << 20)]),
        ("nothing", b""),
        ("noise", &noise),
        ("noise behind a header", &[COMPONENT, &noise].concat()),
        ("half a component", half),
    ];
    for (name, bytes) in cases {
        let reply = tenant.upload("raw", bytes)?;
        ensure!(
            reply.seen() == "422 invalid-component" || reply.seen() == "422 invalid-manifest",
            "{name}: {} {}",
            reply.seen(),
            reply.text()
        );
    }
    Ok(format!("422 for each of {}", cases.len()))
}
