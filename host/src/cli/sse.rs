//! Parses server-sent events, as far as the admin API uses them.

use std::io::{self, BufRead};

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The kind; empty if the host sent none.
    pub kind: String,
    /// The lines of data, joined.
    pub data: String,
    /// The id with which a client resumes after the event; empty if the host sent none.
    pub id: String,
}

/// The events of a stream until it ends.
pub fn events(stream: impl BufRead) -> impl Iterator<Item = io::Result<Event>> {
    let mut lines = stream.lines();
    std::iter::from_fn(move || {
        let mut event = Event::default();
        let mut data: Option<String> = None;
        for line in lines.by_ref() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            if line.is_empty() {
                if let Some(data) = data.take() {
                    return Some(Ok(Event { data, ..event }));
                }
                event = Event::default();
                continue;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "event" => value.clone_into(&mut event.kind),
                "data" => match &mut data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => data = Some(value.to_owned()),
                },
                "id" => value.clone_into(&mut event.id),
                // Comments only keep the connection alive. Retry times are ignored.
                _ => {}
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_comments_are_not() {
        let stream = ": hello\n\nevent: line\nid: 7\ndata: {\"a\":1}\n\n: keep-alive\n\ndata:x\ndata: y\n\ndata: cut off";
        let events: Vec<Event> = events(stream.as_bytes()).map(Result::unwrap).collect();
        let event = |kind: &str, data: &str, id: &str| Event {
            kind: kind.to_owned(),
            data: data.to_owned(),
            id: id.to_owned(),
        };
        assert_eq!(events, [event("line", "{\"a\":1}", "7"), event("", "x\ny", "")]);
    }
}
