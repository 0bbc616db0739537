//! Tests of steps of jobs: their results are kept for later attempts, and removed after the job.

use super::*;
use crate::capability::bindings::steps::{Error as StepError, Host as _};
use crate::capability::steps::StepsView;
use crate::domain::units::ByteSize;

impl Call {
    fn steps(&mut self) -> StepsView<'_> {
        StepsView {
            invocation: &mut self.invocation,
            database: &mut self.state,
        }
    }

    async fn load(&mut self, name: &str) -> Result<Option<String>, StepError> {
        self.steps().load(name.to_owned()).await.unwrap()
    }

    async fn store(&mut self, name: &str, result: &str) -> Result<(), StepError> {
        self.steps()
            .store(name.to_owned(), result.to_owned())
            .await
            .unwrap()
    }

    async fn store_in(&mut self, transaction: &Resource<Transaction>, name: &str) -> Result<(), Error> {
        self.view()
            .store_step(borrowed(transaction), name.to_owned(), "1".to_owned())
            .await
            .unwrap()
    }
}

fn loaded(result: &str) -> Result<Option<String>, String> {
    Ok(Some(result.to_owned()))
}

/// The result with the error as text.
fn told<T>(result: Result<T, StepError>) -> Result<T, String> {
    result.map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn a_step_is_kept_for_the_next_attempt_and_for_its_job_only() {
    let fixture = fixture(Limits::default(), "").await;
    let id = JobId::generate();
    let mut first = fixture.another().running(id);
    assert_eq!(told(first.load("charge").await), Ok(None));
    first.store("charge", "receipt 7").await.unwrap();
    // An earlier result stays.
    first.store("charge", "receipt 8").await.unwrap();
    first.store("mail", "").await.unwrap();
    assert_eq!(told(first.load("charge").await), loaded("receipt 7"));
    let usage = &first.invocation.usage;
    assert_eq!((usage.steps, usage.step_bytes), (2, 9));
    assert!(usage.database_bytes > 0);
    drop(first);
    let mut second = fixture.another().running(id);
    assert_eq!(told(second.load("charge").await), loaded("receipt 7"));
    assert_eq!(told(second.load("mail").await), loaded(""));
    let mut other = fixture.another().running(JobId::generate());
    assert_eq!(told(other.load("charge").await), Ok(None));
}

#[tokio::test]
async fn a_step_of_a_transaction_is_stored_if_it_commits() {
    let fixture = fixture(Limits::default(), "CREATE TABLE t (a);").await;
    let mut call = fixture.another().running(JobId::generate());
    let transaction = call.begin().await.unwrap();
    call.execute_in(&transaction, "INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    call.store_in(&transaction, "a").await.unwrap();
    let beside = call.store("b", "1").await;
    assert!(
        matches!(&beside, Err(StepError::Invalid(why)) if why.contains("`store-step` of the transaction")),
        "{beside:?}"
    );
    assert_eq!(told(call.load("a").await), Ok(None));
    call.rollback(&transaction).await.unwrap();
    is_invalid(call.store_in(&transaction, "a").await, "is over");
    assert_eq!(told(call.load("a").await), Ok(None));
    let transaction = call.begin().await.unwrap();
    call.store_in(&transaction, "a").await.unwrap();
    call.commit(&transaction).await.unwrap();
    assert_eq!(told(call.load("a").await), loaded("1"));
    assert_eq!(call.number("SELECT count(*) FROM t").await, 0);
}

#[tokio::test]
async fn steps_have_limits() {
    let limits = Limits {
        steps: 2,
        step_bytes: ByteSize(4),
        ..Limits::default()
    };
    let fixture = fixture(limits, "").await;
    let id = JobId::generate();
    let mut call = fixture.another().running(id);
    call.store("a", "1234").await.unwrap();
    let large = call.store("b", "12345").await;
    assert!(matches!(&large, Err(StepError::Limit(why)) if why.contains("step_bytes")));
    call.store("b", "1").await.unwrap();
    let third = call.store("c", "1").await;
    assert!(
        matches!(&third, Err(StepError::Limit(why)) if why.contains("2 steps")),
        "{third:?}"
    );
    // A step that is stored already takes no room.
    call.store("a", "2").await.unwrap();
    let mut again = fixture.another().running(id);
    let transaction = again.begin().await.unwrap();
    is_limit(again.store_in(&transaction, "c").await, "2 steps");
    again.store_in(&transaction, "b").await.unwrap();
    again.commit(&transaction).await.unwrap();
    let long = "n".repeat(101);
    for result in [call.store(&long, "1").await, call.load(&long).await.map(drop)] {
        assert!(matches!(&result, Err(StepError::Invalid(why)) if why.contains("101 bytes")));
    }
    call.load(&long[1..]).await.unwrap();
}

#[tokio::test]
async fn the_largest_result_is_kept() {
    let limits = Limits {
        step_bytes: ByteSize::mib(1),
        host_call_bytes: ByteSize::mib(2),
        ..Limits::default()
    };
    let fixture = fixture(limits, "").await;
    let mut call = fixture.another().running(JobId::generate());
    let result = "x".repeat(1024 * 1024);
    call.store("a", &result).await.unwrap();
    assert_eq!(told(call.load("a").await), loaded(&result));
}

#[tokio::test]
async fn there_are_no_steps_without_a_job_or_without_the_grant() {
    let mut fixture = fixture(Limits::default(), "").await;
    let call = &mut fixture.call;
    for result in [call.store("a", "1").await, call.load("a").await.map(drop)] {
        assert!(
            matches!(&result, Err(StepError::Invalid(why)) if why.contains("runs no job")),
            "{result:?}"
        );
    }
    let transaction = call.begin().await.unwrap();
    is_invalid(call.store_in(&transaction, "a").await, "runs no job");
    let mut call = fixture.another().running(JobId::generate());
    Arc::make_mut(&mut call.invocation.active).grants = Arc::default();
    for result in [call.store("a", "1").await, call.load("a").await.map(drop)] {
        assert!(
            matches!(&result, Err(StepError::Invalid(why)) if why.contains("[database]")),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn steps_are_listed_page_by_page_and_removed() {
    let fixture = fixture(Limits::default(), "").await;
    let (tenant, databases) = (fixture.tenant(), &fixture.databases);
    let ids: Vec<JobId> = (0..5).map(|_| JobId::generate()).collect();
    for id in &ids {
        let mut call = fixture.another().running(*id);
        call.store("a", "1").await.unwrap();
        call.store("b", "1").await.unwrap();
    }
    let traces = async |after, limit| databases.job_traces(tenant, after, limit).await.unwrap();
    assert_eq!(traces(None, 3).await, ids[..3]);
    assert_eq!(traces(Some(ids[2]), 3).await, ids[3..]);
    databases.forget_jobs(tenant, &ids[1..]).await.unwrap();
    assert_eq!(traces(None, 10).await, ids[..1]);
    let mut kept = fixture.another().running(ids[0]);
    assert_eq!(told(kept.load("b").await), loaded("1"));
    let mut removed = fixture.another().running(ids[1]);
    assert_eq!(told(removed.load("b").await), Ok(None));
}
