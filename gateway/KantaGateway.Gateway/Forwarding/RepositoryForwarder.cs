using System.Net;
using System.Net.Http.Headers;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Fhir.Validation;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Formats;
using Yarp.ReverseProxy.Forwarder;

namespace KantaGateway.Gateway.Forwarding;

/// <summary>How one attempt to have the repository answer ended.</summary>
public enum ForwardEnd
{
    /// <summary>Headers and body are on their way to the caller; the audit entry was durable before.</summary>
    Answered,

    /// <summary>The policy has moved on since the decision; nothing was read or stored. Decide again.</summary>
    PolicyMoved,

    /// <summary>The record has to be opened, and the grant has opened one before; nothing was read or stored. Sign another.</summary>
    GrantSpent,

    /// <summary>The repository does not take the grant; nothing was read or stored. Sign another: this one has ended, or its clock is another than the gateway's.</summary>
    GrantRefused,

    /// <summary>The audit could not be written: nothing of the repository's answer left.</summary>
    NotRecorded,

    /// <summary>The repository could not be reached; nothing was sent to it.</summary>
    Unreachable,

    /// <summary>It broke off or took too long; a write may or may not have happened.</summary>
    Failed,
}

/// <summary>Step 6: streams a request to the repository and its answer back, through YARP.</summary>
/// <remarks>
/// The response transform is where step 8 stands: it runs when the repository's headers, the manifest among them, have
/// come and before the first byte of the body is passed on.
/// </remarks>
public sealed class RepositoryForwarder(IHttpForwarder yarp, RepositoryNodes nodes, GatewayOptions options)
{
    private readonly string _address = nodes.Address.ToString().TrimEnd('/');
    private readonly string _fhirBase = options.PublicAddress + "/fhir";

    private static readonly ForwarderRequestConfig Config = new() { ActivityTimeout = RepositoryNodes.LongestWait, Version = HttpVersion.Version11, VersionPolicy = HttpVersionPolicy.RequestVersionExact };

    /// <summary>One attempt.</summary>
    /// <param name="context">The request, its body replayable; the response not started.</param>
    /// <param name="compartment">Whom it is about.</param>
    /// <param name="grant">Signed grant.</param>
    /// <param name="directoryGrant">On writes and searches.</param>
    /// <param name="isWrite">A caller who hangs up does not stop a write between the store and its record.</param>
    /// <param name="content">Of a content that streams by: where it stands; null for any other body.</param>
    /// <param name="record">Step 8: makes the outcome durable and gives the answer's receipt, if it has one. Throwing means that nothing may leave.</param>
    public async Task<(ForwardEnd End, DisclosureManifest? Manifest, Exception? Unrecorded)> ForwardAsync(HttpContext context, Pseudonym compartment, string grant, string? directoryGrant, bool isWrite, StreamedContent? content, Func<int, DisclosureManifest?, Task<string?>> record)
    {
        var exchange = new Exchange(compartment, grant, directoryGrant, _fhirBase, content, record);
        var aborted = context.RequestAborted;
        if (isWrite)
            context.RequestAborted = CancellationToken.None;
        var error = await yarp.SendAsync(context, _address, nodes.Invoker, Config, exchange, context.RequestAborted);
        context.RequestAborted = aborted;
        if (exchange.Again is { } again)
            return (again, null, null);
        if (exchange.RecordFailure is not null)
            return (ForwardEnd.NotRecorded, null, exchange.RecordFailure);
        return error switch
        {
            ForwarderError.None => (ForwardEnd.Answered, exchange.Manifest, null),
            _ when exchange.Recorded => (ForwardEnd.Answered, exchange.Manifest, null), // broken off after the record: the caller sees the cut
            ForwarderError.Request or ForwarderError.RequestCreation when context.Features.Get<IForwarderErrorFeature>()?.Exception is HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError } => (ForwardEnd.Unreachable, null, null),
            _ => (ForwardEnd.Failed, null, null),
        };
    }

    private sealed class Exchange(Pseudonym compartment, string grant, string? directoryGrant, string fhirBase, StreamedContent? streamed, Func<int, DisclosureManifest?, Task<string?>> record) : HttpTransformer
    {
        /// <summary>What of a request means something to FHIR. Nothing else goes on: neither what identifies the caller nor what looks like ours.</summary>
        private static readonly string[] OfTheInteraction = ["Accept", "If-Match", "If-None-Match", "If-Modified-Since", "If-None-Exist", "Range", "If-Range", "Prefer", RawContent.SecurityContextHeader];

        private static readonly string[] OfTheBody = ["Content-Type", "Content-Length"];

        /// <summary>Why the repository is to be asked again: <see cref="ForwardEnd.PolicyMoved"/>, <see cref="ForwardEnd.GrantSpent"/> or <see cref="ForwardEnd.GrantRefused"/>; null: it has answered.</summary>
        public ForwardEnd? Again { get; private set; }
        public bool Recorded { get; private set; }
        public Exception? RecordFailure { get; private set; }
        public DisclosureManifest? Manifest { get; private set; }

        // Not the base's, which copies every header: most would be taken out again.
        public override ValueTask TransformRequestAsync(HttpContext httpContext, HttpRequestMessage proxyRequest, string destinationPrefix, CancellationToken cancellationToken)
        {
            RepositoryNodes.SayWhom(proxyRequest, compartment);
            var headers = proxyRequest.Headers;
            Copy(httpContext.Request.Headers, OfTheInteraction, headers);
            if (proxyRequest.Content is { } content)
                Copy(httpContext.Request.Headers, OfTheBody, content.Headers);
            headers.TryAddWithoutValidation(InternalHeaders.Grant, grant);
            // The repository looks at the policy before it takes the first byte of a content; until then none is sent.
            if (streamed is { Arrived: null })
                headers.ExpectContinue = true;
            if (streamed is { Arrived: { } arrived })
                headers.TryAddWithoutValidation(InternalHeaders.ArrivedContent, arrived);
            if (directoryGrant is not null)
                headers.TryAddWithoutValidation(InternalHeaders.DirectoryGrant, directoryGrant);
            headers.TryAddWithoutValidation(InternalHeaders.Base, fhirBase);
            if (OutcomeLanguages.Of(httpContext.Request.Headers.AcceptLanguage) is not OutcomeLanguage.Finnish and var language)
                headers.TryAddWithoutValidation(InternalHeaders.Language, language.Tag());
            if (httpContext.Features.Get<Identification.IRequesterFeature>()?.Requester.UnknownProfiles == UnknownProfiles.Accept)
                headers.TryAddWithoutValidation(InternalHeaders.UnknownProfiles, "accept");
            if (Negotiation.Of(httpContext) is { IsCanonical: false } presentation)
                headers.TryAddWithoutValidation(InternalHeaders.Presentation, presentation.Encode());
            headers.TryAddWithoutValidation(InternalHeaders.CorrelationId, Faults.Correlation.Of(httpContext));
            return ValueTask.CompletedTask;
        }

        private static void Copy(IHeaderDictionary from, string[] names, HttpHeaders to)
        {
            foreach (var name in names)
                if (from.TryGetValue(name, out var values))
                    to.TryAddWithoutValidation(name, (IEnumerable<string?>)values);
        }

        public override async ValueTask<bool> TransformResponseAsync(HttpContext httpContext, HttpResponseMessage? proxyResponse, CancellationToken cancellationToken)
        {
            if (proxyResponse is null)
                return await base.TransformResponseAsync(httpContext, proxyResponse, cancellationToken);
            if (proxyResponse.StatusCode == HttpStatusCode.PreconditionFailed)
                Again = proxyResponse.Headers.Contains(InternalHeaders.PolicyVersion) ? ForwardEnd.PolicyMoved
                    : proxyResponse.Headers.Contains(InternalHeaders.GrantSpent) ? ForwardEnd.GrantSpent : null;
            // It identifies nobody but its gateway: to the caller that is no answer.
            if (proxyResponse.StatusCode == HttpStatusCode.Unauthorized)
                Again = ForwardEnd.GrantRefused;
            if (Again is not null)
            {
                if (streamed is not null && proxyResponse.Headers.TryGetValues(InternalHeaders.ArrivedContent, out var names))
                    streamed.Arrived = names.FirstOrDefault();
                return false;
            }
            Manifest = proxyResponse.Headers.TryGetValues(InternalHeaders.Manifest, out var values) ? DisclosureManifest.Decode(values.FirstOrDefault()) : null;
            string? receipt;
            // :: Step 8. From here on it is durable who gets what; only then may the first byte leave.
            try
            {
                // An answer of data without a manifest could not be recorded truly.
                // That a version is still the newest tells something too.
                if ((proxyResponse.IsSuccessStatusCode || proxyResponse.StatusCode == HttpStatusCode.NotModified) && Manifest is null)
                    throw new FaultException(new Fault(FaultKind.UpstreamFailed, "no manifest"));
                receipt = await record((int)proxyResponse.StatusCode, Manifest);
                Recorded = true;
            }
            catch (Exception e)
            {
                // Whatever stopped the record stops the answer; the pipeline throws it on.
                RecordFailure = e;
                return false;
            }
            RemoveInternal(proxyResponse.Headers);
            await base.TransformResponseAsync(httpContext, proxyResponse, cancellationToken);
            var headers = httpContext.Response.Headers;
            headers[InternalHeaders.CorrelationId] = Faults.Correlation.Of(httpContext);
            if (receipt is not null)
                headers[Receipt.Header] = receipt;
            headers.CacheControl = "no-store";
            headers.Vary = Negotiation.Vary;
            headers.Remove("Server");
            return true;
        }

        // NonValidated, for the ordinary enumeration parses every value.
        private static void RemoveInternal(HttpHeaders headers)
        {
            List<string>? names = null;
            foreach (var (name, _) in headers.NonValidated)
                if (name.StartsWith(InternalHeaders.Prefix, StringComparison.OrdinalIgnoreCase))
                    (names ??= []).Add(name);
            foreach (var name in names ?? [])
                headers.Remove(name);
        }
    }
}
