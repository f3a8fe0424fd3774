/// Sees every generation before and after it is asked for: to add a deadline, to trace, to count, to refuse.
///
///     struct Patience: ClientInterceptor {
///         func generate(
///             _ request: GenerateRequest, next: (GenerateRequest) async throws(LMError) -> TokenStream
///         ) async throws(LMError) -> TokenStream {
///             var request = request
///             request.timeout = request.timeout ?? .seconds(60)
///             return try await next(request)
///         }
///     }
public protocol ClientInterceptor: Sendable {
    /// Calls `next` with the request, or one in its place, and returns its stream.
    ///
    /// - Throws: what `next` throws, or why the request is not to be made.
    func generate(
        _ request: GenerateRequest, next: (GenerateRequest) async throws(LMError) -> TokenStream
    ) async throws(LMError) -> TokenStream
}

/// What happens between a client and its server that the application need not know, but its operator may want to.
public enum ClientEvent: Sendable {
    /// A connection is ready for requests.
    case connected(endpoint: String)
    /// A connection is over.
    case disconnected(LMError)
    /// A request failed before it had an effect, and is made again.
    case retrying(LMError, attempt: Int, after: Duration)
    /// A generation whose connection was lost goes on at this token.
    case resumed(requestID: String?, at: Int)
}
