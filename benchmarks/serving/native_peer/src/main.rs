//! One thread, one model, Open Inference Protocol v2 JSON; no batching, no limits, no metrics.
//!
//! Environment: BENCH_MODELS (`name=path`), BENCH_HTTP (port), ORT_DYLIB_PATH (ONNX Runtime).

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::Session;
use ort::value::TensorRef;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    data: Vec<f32>,
}

#[derive(Deserialize)]
struct InferRequest {
    inputs: Vec<Input>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: &'a str,
    shape: Vec<i64>,
    data: &'a [f32],
}

#[derive(Serialize)]
struct InferResponse<'a> {
    model_name: &'a str,
    outputs: Vec<Output<'a>>,
}

type Failure = Box<dyn std::error::Error>;

struct Model {
    name: String,
    session: RefCell<Session>,
}

impl Model {
    fn load(environment: &Environment, name: &str, path: &str) -> Result<Self, Failure> {
        let session = Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_intra_threads(1)?
            .commit_from_file(path)?;
        Ok(Self { name: name.to_owned(), session: RefCell::new(session) })
    }

    fn infer(&self, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let request: InferRequest = serde_json::from_slice(body)?;
        let input = request.inputs.first().ok_or("no input")?;
        if input.name != "x" {
            return Err("the input is x".into());
        }
        let tensor = TensorRef::from_array_view((input.shape.clone(), input.data.as_slice()))?;
        let mut session = self.session.borrow_mut();
        let outputs = session.run(ort::inputs!["x" => tensor])?;
        let (shape, data) = outputs["y"].try_extract_tensor::<f32>()?;
        let output = Output { name: "y", datatype: "FP32", shape: shape.to_vec(), data };
        let answer = InferResponse { model_name: &self.name, outputs: vec![output] };
        Ok(serde_json::to_vec(&answer)?)
    }
}

async fn answer(
    model: Rc<Model>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::GET {
        return Ok(Response::new(Full::new(Bytes::from_static(b"{}"))));
    }
    let infer = async {
        let body = request.into_body().collect().await?.to_bytes();
        model.infer(&body)
    };
    let (status, body) = match infer.await {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string().into_bytes()),
    };
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)));
    Ok(response.expect("a constant head"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let named = std::env::var("BENCH_MODELS")?;
    let (name, path) = named.split_once('=').ok_or("BENCH_MODELS is not name=path")?;
    let environment = ort::init().with_telemetry(false).build()?;
    let model = Rc::new(Model::load(&environment, name, path)?);
    let port: u16 = std::env::var("BENCH_HTTP")?.parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    tokio::task::LocalSet::new()
        .run_until(async move {
            loop {
                let (socket, _) = listener.accept().await?;
                socket.set_nodelay(true)?;
                let model = Rc::clone(&model);
                tokio::task::spawn_local(async move {
                    let service = service_fn(|request| answer(Rc::clone(&model), request));
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        })
        .await
}
