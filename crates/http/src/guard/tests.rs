//! The guard over real sockets and with names that a test resolves. No test asks a real resolver for a name.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

use super::*;

/// Stands for a public address on a machine that has none.
fn only_the_first_loopback(address: IpAddr) -> bool {
    address == IpAddr::from([127, 0, 0, 1])
}

fn guard(exceptions: &str, told: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Guard {
    Guard {
        exceptions: Arc::new(Exceptions::parse(exceptions).unwrap()),
        lookup: Lookup::Told(Arc::new(told)),
        is_allowed: only_the_first_loopback,
    }
}

async fn connect(guard: &Guard, url: &str) -> Result<SocketAddr, BoxError> {
    let mut tcp = Tcp::new(Some(guard), Duration::from_secs(5));
    Ok(tcp.call(url.parse()?).await?.inner().peer_addr()?)
}

fn is_refusal(result: &Result<SocketAddr, BoxError>) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = result.as_ref().err().map(|error| {
        let error: &(dyn Error + 'static) = error.as_ref();
        error
    });
    while let Some(error) = next {
        if error.is::<Refused>() {
            return true;
        }
        next = error.source();
    }
    false
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_the_judged_address_is_connected_to() {
    let (_listener, port) = listener().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    // Rebinds: public when it is judged, private for whoever asks again.
    let guard = guard("", move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => vec![IpAddr::from([127, 0, 0, 1])],
        _ => vec![IpAddr::from([127, 0, 0, 2])],
    });
    let reached = connect(&guard, &format!("https://rebinds.test:{port}/")).await.unwrap();
    assert_eq!(reached, SocketAddr::from(([127, 0, 0, 1], port)));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(is_refusal(&connect(&guard, &format!("https://rebinds.test:{port}/")).await));
}

#[tokio::test]
async fn one_address_that_is_not_public_spoils_the_answer() {
    let (_listener, port) = listener().await;
    let guard = guard("", |_| vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1])]);
    assert!(is_refusal(&connect(&guard, &format!("https://both.test:{port}/")).await));
}

#[tokio::test]
async fn a_name_without_addresses_is_no_refusal_and_no_connection() {
    let result = connect(&guard("", |_| Vec::new()), "https://nowhere.test/").await;
    assert!(result.is_err() && !is_refusal(&result));
}

#[tokio::test]
async fn addresses_in_the_place_of_a_name_are_judged_without_a_look_up() {
    let guard = guard("", |name| panic!("{name} was looked up"));
    for url in [
        "https://127.0.0.2/",
        "https://127.0.0.2:8443/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]:443/",
        "https://[fd00:ec2::254]/",
        "https://[::]/",
    ] {
        assert!(is_refusal(&connect(&guard, url).await), "{url}");
    }
}

#[tokio::test]
async fn odd_spellings_of_an_address_are_names_and_judged_by_what_they_resolve_to() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    // The system's resolver takes these for 127.0.0.1; here that stands for a private address.
    let guard = guard("", move |name| {
        told.lock().unwrap().push(name.to_owned());
        vec![IpAddr::from([127, 0, 0, 9])]
    });
    let spellings = ["0x7f.1", "2130706433", "0177.0.0.1", "127.1", "127.0.0.1.", "localhost.", "LOCALHOST"];
    for spelling in spellings {
        assert!(is_refusal(&connect(&guard, &format!("https://{spelling}/")).await), "{spelling}");
    }
    assert_eq!(*seen.lock().unwrap(), spellings);
}

#[tokio::test]
async fn the_systems_resolver_is_judged_too() {
    let guard = Guard::new(Exceptions::default());
    for spelling in ["localhost", "0x7f.1", "2130706433", "127.1"] {
        // Where a machine's resolver knows no such spelling, there is no connection either.
        let result = connect(&guard, &format!("https://{spelling}/")).await;
        assert!(result.is_err(), "{spelling}");
    }
    assert!(is_refusal(&connect(&guard, "https://localhost/").await));
    assert!(is_refusal(&connect(&guard, "https://127.0.0.1/").await));
}

#[tokio::test]
async fn an_exception_is_connected_to_whatever_its_address_and_no_other_port_of_it() {
    let (_one, port) = listener().await;
    let (_other, other) = listener().await;
    let mut guard = guard(&format!("127.0.0.1:{port}"), |_| Vec::new());
    guard.is_allowed = |_| false;
    assert!(connect(&guard, &format!("http://127.0.0.1:{port}/")).await.is_ok());
    assert!(is_refusal(&connect(&guard, &format!("http://127.0.0.1:{other}/")).await));
}
