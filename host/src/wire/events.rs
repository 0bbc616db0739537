//! JSON of events, in the format of CloudEvents 1.0.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::event::Event;
use crate::domain::id::EventId;

/// The version of the specification.
const VERSION: &str = "1.0";

/// An event in the JSON format of CloudEvents 1.0.
#[derive(Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CloudEvent {
    /// The version of the specification: `1.0`.
    pub specversion: String,
    /// The id. It is the same for all subscribers.
    pub id: EventId,
    /// The plugin that published it.
    pub source: String,
    /// The topic.
    pub r#type: String,
    /// When it was published.
    pub time: Timestamp,
    /// The media type of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// The data: a JSON value, or a text if it is not JSON. Absent for viewers and in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl CloudEvent {
    /// An event, with its data if that is given.
    pub fn new(event: Event, data: Option<&str>) -> Self {
        let data = data.map(|text| match serde_json::from_str::<Value>(text) {
            Ok(value) => ("application/json", value),
            Err(_) => ("text/plain", Value::String(text.to_owned())),
        });
        let (media_type, data) = data.unzip();
        Self {
            specversion: VERSION.to_owned(),
            id: event.id,
            source: event.source.to_string(),
            r#type: event.topic.to_string(),
            time: event.time,
            datacontenttype: media_type.map(str::to_owned),
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Event {
        Event {
            id: "0190a5c0-0000-7000-8000-000000000001".parse().unwrap(),
            source: "orders".parse().unwrap(),
            topic: "order.created".parse().unwrap(),
            time: Timestamp(0),
        }
    }

    #[test]
    fn an_event_has_the_attributes_of_cloudevents() {
        let written = serde_json::to_value(CloudEvent::new(event(), Some("{\"total\": 7}"))).unwrap();
        assert_eq!(
            written,
            json!({
                "specversion": "1.0",
                "id": "0190a5c0-0000-7000-8000-000000000001",
                "source": "orders",
                "type": "order.created",
                "time": "1970-01-01T00:00:00.000Z",
                "datacontenttype": "application/json",
                "data": { "total": 7 },
            })
        );
    }

    #[test]
    fn data_that_is_not_json_is_a_text_and_may_be_left_out() {
        let text = CloudEvent::new(event(), Some("7 apples"));
        assert_eq!(text.datacontenttype.as_deref(), Some("text/plain"));
        assert_eq!(text.data, Some(json!("7 apples")));
        let written = serde_json::to_value(CloudEvent::new(event(), None)).unwrap();
        assert_eq!(
            (written.get("data"), written.get("datacontenttype")),
            (None, None)
        );
    }
}
