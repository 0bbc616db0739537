//! The cases as the tests read them. This file is a part of the test host's test and of the host's.

use serde::Deserialize;
use serde_json::Value;

/// The text of all cases.
const TEXT: &str = include_str!("../cases.toml");

/// Settings of the plugin in both tests.
pub const SETTINGS: [(&str, &str); 3] = [("size", "50"), ("colour", "green"), ("empty", "")];

/// Secrets of the tenant in both tests. The plugin is granted what its manifest asks for.
pub const SECRETS: [(&str, &str); 4] = [
    ("key", "Jefe"),
    ("open", "sesame"),
    ("foreign", "hidden"),
    ("elsewhere", "hidden"),
];

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

/// One request, and what is expected of its answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    #[serde(default = "get")]
    pub method: String,
    pub path: String,
    /// The scopes of the key that is sent; none is sent without them.
    pub scopes: Option<Vec<String>>,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    body: Option<String>,
    /// Spaces behind the body.
    #[serde(default)]
    padding: usize,
    /// What is expected.
    status: u16,
    /// The body as a whole.
    json: Option<Value>,
    text: Option<String>,
    /// The code of a problem, which then has the members of one.
    problem: Option<String>,
    /// Members of the body, by JSON pointer.
    #[serde(default)]
    members: Vec<(String, Value)>,
    /// All values of some headers.
    #[serde(default)]
    fields: Vec<(String, Vec<String>)>,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

fn get() -> String {
    "GET".to_owned()
}

/// All cases.
pub fn all() -> Vec<Case> {
    match toml::from_str::<Cases>(TEXT) {
        Ok(cases) => {
            assert!(!cases.case.is_empty(), "cases.toml has no cases");
            cases.case
        }
        Err(error) => panic!("cases.toml: {error}"),
    }
}

impl Case {
    /// The body to send.
    pub fn body(&self) -> Option<String> {
        let body = self.body.as_ref()?;
        Some(format!("{body}{}", " ".repeat(self.padding)))
    }

    /// What is wrong with an answer, if anything.
    pub fn complaints(&self, answer: &Answer) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut expect = |what: &str, is: String, wanted: String| {
            if is != wanted {
                complaints.push(format!("{}: {what} is {is}, not {wanted}", self.name));
            }
        };
        expect("the status", answer.status.to_string(), self.status.to_string());
        if let Some(text) = &self.text {
            expect("the text", answer.body.clone(), text.clone());
        }
        let body = || serde_json::from_str::<Value>(&answer.body).unwrap_or(Value::Null);
        if let Some(json) = &self.json {
            // Compared as values: the members of an object have no order.
            let body = body();
            let wanted = if body == *json {
                body.to_string()
            } else {
                json.to_string()
            };
            expect("the body", body.to_string(), wanted);
        }
        if let Some(code) = &self.problem {
            let body = body();
            let id = answer.values("x-request-id").concat();
            expect(
                "the type",
                answer.values("content-type").concat(),
                "application/problem+json".to_owned(),
            );
            expect("the code", body["code"].to_string(), format!("{code:?}"));
            expect("`status`", body["status"].to_string(), self.status.to_string());
            expect("`request_id`", body["request_id"].to_string(), format!("{id:?}"));
        }
        for (pointer, wanted) in &self.members {
            let is = body().pointer(pointer).map(Value::to_string);
            expect(pointer, is.unwrap_or_default(), wanted.to_string());
        }
        for (name, wanted) in &self.fields {
            expect(name, format!("{:?}", answer.values(name)), format!("{wanted:?}"));
        }
        complaints
    }
}

impl Answer {
    fn values(&self, name: &str) -> Vec<&str> {
        let all = self.headers.iter().filter(|(key, _)| key == name);
        all.map(|(_, value)| value.as_str()).collect()
    }
}
