using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Http.Features;

namespace KantaGateway.Gateway.Forwarding;

/// <inheritdoc />
/// <remarks>The request is a context of its own without a connection; its response body is kept in memory.</remarks>
sealed class InnerRequestSender(IServiceScopeFactory scopes, GatewayPipeline pipeline, IHttpContextAccessor outer) : IInnerRequests
{
    public async Task<FhirAnswer> SendAsync(Requester requester, string method, string target, ReadOnlyMemory<byte> body = default,
        string? contentType = null, IHeaderDictionary? headers = null, CancellationToken cancel = default)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = Create(scope.ServiceProvider, outer.HttpContext, requester, method, target, body, contentType, cancel);
        foreach (var (name, value) in headers ?? new HeaderDictionary())
            context.Request.Headers[name] = value;
        return await AnswerOf(context, pipeline.ServeAsync);
    }

    /// <param name="outer">The request on whose behalf it is made, for the record: its address, certificate and correlation id.</param>
    public static HttpContext Create(IServiceProvider services, HttpContext? outer, Requester requester, string method, string target, ReadOnlyMemory<byte> body, string? contentType, CancellationToken cancel)
    {
        var context = new DefaultHttpContext { RequestServices = services, RequestAborted = cancel };
        var question = target.IndexOf('?');
        var request = context.Request;
        request.Method = method;
        request.Scheme = "https";
        request.Host = new HostString("localhost");
        request.Path = "/fhir/" + (question < 0 ? target : target[..question]).TrimStart('/');
        request.QueryString = question < 0 ? default : new QueryString(target[question..]);
        request.ContentLength = body.IsEmpty && method is "GET" or "DELETE" ? null : body.Length;
        if (!body.IsEmpty || contentType is not null)
            request.ContentType = contentType ?? "application/fhir+json";
        request.Body = new ReadOnlyMemoryStream(body);
        if (outer is not null)
        {
            context.Connection.RemoteIpAddress = outer.Connection.RemoteIpAddress;
            context.Connection.ClientCertificate = outer.Connection.ClientCertificate;
            Correlation.Continue(outer, context);
        }
        context.Features.Set<IHttpRequestBodyDetectionFeature>(new BodyDetection(request.ContentLength is > 0));
        context.Features.Set<IRequesterFeature>(new RequesterFeature(requester));
        context.Response.Body = new KeptBody(context.Response);
        Negotiation.KeepJson(context);
        return context;
    }

    /// <summary>Runs the steps and collects the answer; faults become answers as they do at the edge.</summary>
    public static async Task<FhirAnswer> AnswerOf(HttpContext context, RequestDelegate serve)
    {
        try
        {
            await serve(context);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            context.Response.Clear();
            context.Response.Body = new KeptBody(context.Response);
            await FaultWriter.WriteAsync(context, FaultWriter.FaultOf(context, e));
        }
        return new(context.Response.StatusCode, context.Response.Headers, ((KeptBody)context.Response.Body).Whole(), context.Features.Get<DisclosedFeature>()?.Manifest);
    }

    /// <summary>Keeps an answer in memory, in one piece from the beginning where its length was told: a page of a long record is a megabyte.</summary>
    private sealed class KeptBody(HttpResponse response) : MemoryStream
    {
        private const long LongestForeseen = 64 << 20;

        public byte[] Whole() => Capacity == Length ? GetBuffer() : ToArray();

        // Where every other way to write ends.
        public override void Write(byte[] buffer, int offset, int count)
        {
            if (Capacity == 0 && response.ContentLength is > 0 and <= LongestForeseen and var length)
                Capacity = (int)length;
            base.Write(buffer, offset, count);
        }
    }

    private sealed record BodyDetection(bool CanHaveBody) : IHttpRequestBodyDetectionFeature;
}
