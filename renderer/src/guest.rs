//! The component's exports, which the host calls inside a sandbox.

use crate::Files;

wit_bindgen::generate!({ path: "wit", world: "renderer" });

struct Component;

impl Guest for Component {
    fn check(files: Vec<File>) -> Result<(), Problem> {
        crate::check(&by_name(files)).map_err(|problem| Problem {
            file: problem.file,
            line: problem.line,
            message: problem.message,
        })
    }

    fn render(files: Vec<File>, template: String, values: String) -> Result<Mail, Failure> {
        match crate::render(&by_name(files), &template, &values) {
            Ok(mail) => Ok(Mail {
                subject: mail.subject,
                text: mail.text,
                html: mail.html,
            }),
            Err(crate::Failure::Values(why)) => Err(Failure::Values(why)),
            Err(crate::Failure::Failed(why)) => Err(Failure::Failed(why)),
            Err(crate::Failure::Limit(why)) => Err(Failure::Limit(why)),
        }
    }
}

fn by_name(files: Vec<File>) -> Files {
    files.into_iter().map(|file| (file.name, file.text)).collect()
}

export!(Component);
