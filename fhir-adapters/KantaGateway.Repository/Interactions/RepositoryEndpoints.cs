using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Interactions;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Fhir.Validation;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Search;
using KantaGateway.Repository.Storage;
using Microsoft.AspNetCore.Http.Features;

namespace KantaGateway.Repository.Interactions;

/// <summary>The one door: takes a request's grant and path apart, lets the interaction answer, and turns every failure into an OperationOutcome.</summary>
sealed partial class RepositoryEndpoints(GrantGate grants, Reading reading, Histories histories, Everything everything, Contents contents, Searching searching, Changes changes, PolicyReading policy,
    KeyRotation rotation, DataKeyRotations dataKeys, GrantVerifier verifier, OpenedCompartments opened, ICompartmentStore store, Draining draining, ILogger<RepositoryEndpoints> log)
{
    /// <summary>Largest body, bytes; the gateway's own limit is lower and answers first.</summary>
    public const int MaxBody = 32 << 20;

    public void Map(WebApplication app)
    {
        app.MapLive();
        app.MapGet("/health/ready", ReadyAsync);
        app.MapGet("/rotation", RotationAsync);
        app.MapPost("/rotation", () =>
        {
            rotation.Begin();
            return Results.Accepted();
        });
        app.MapPost("/erasures", (Delegate)EraseAsync);
        app.MapPost("/data-key-rotations", (Delegate)RotateAsync);
        app.MapPost("/policy", PolicyAsync);
        app.MapPost("/preview", PreviewAsync);
        // Not by route patterns: the path of a FHIR request is a dozen bytes to look at, and every odd one gets a FHIR answer.
        app.Map("/fhir/{**path}", FhirAsync);
    }

    private Task PolicyAsync(HttpContext context) => AnswerAsync(context, (request, c) => policy.ReadAsync(request, c.RequestAborted));

    private Task PreviewAsync(HttpContext context) =>
        AnswerAsync(context, async (request, c) => await policy.PreviewAsync(request, await BodyAsync(c).ConfigureAwait(false), c.RequestAborted).ConfigureAwait(false));

    private Task FhirAsync(HttpContext context) => AnswerAsync(context, InteractAsync);

    private async Task<IResult> ReadyAsync(CancellationToken cancel)
    {
        if (draining.IsDraining)
            return Results.Text("stopping", statusCode: 503);
        try
        {
            await store.PingAsync(cancel).ConfigureAwait(false);
            return Results.Text("ready");
        }
        catch (StoreException e)
        {
            StoreFailed(log, e);
            return Results.Text("the database does not answer", statusCode: 503);
        }
    }

    private async Task<IResult> RotationAsync(CancellationToken cancel)
    {
        try
        {
            return Results.Json(await rotation.CountAsync(cancel).ConfigureAwait(false), KeyJson.Default.RotationProgress);
        }
        catch (Exception e) when (e is StoreException or FaultException)
        {
            return Results.Text("the database or the key service does not answer", statusCode: 503);
        }
    }

    /// <summary>Destroys what is stored of a person whose key the key service has destroyed: by the same statement, which it verifies itself.</summary>
    private async Task<IResult> EraseAsync(HttpContext context)
    {
        if (await verifier.VerifyErasureAsync(context.Request.Headers[InternalHeaders.Grant]).ConfigureAwait(false) is not { } erasure)
            return Results.StatusCode(401);
        try
        {
            await opened.EraseAsync(erasure.Compartment, context.RequestAborted).ConfigureAwait(false);
            return Results.NoContent();
        }
        catch (StoreException e)
        {
            StoreFailed(log, e);
            return Results.Text("the database does not answer", statusCode: 503);
        }
    }

    /// <summary>Replaces the data key of a person: by the gateway's statement that two operators want it, which the key service verifies itself. Answers when it is done; asked again, it goes on, or says what came of it.</summary>
    private async Task<IResult> RotateAsync(HttpContext context)
    {
        string? statement = context.Request.Headers[InternalHeaders.Grant];
        if (await verifier.VerifyDataKeyRotationAsync(statement).ConfigureAwait(false) is not { } rotation)
            return Results.StatusCode(401);
        try
        {
            return Results.Json(await dataKeys.RotateAsync(rotation, statement!, context.RequestAborted).ConfigureAwait(false), KeyJson.Default.RotatedRecord);
        }
        catch (FaultException e)
        {
            return Results.Text("it may not be done", statusCode: FaultTable.Of(e.Fault.Kind).Status);
        }
        catch (StoreException e)
        {
            StoreFailed(log, e);
            return Results.Text("the database does not answer", statusCode: 503);
        }
        catch (TamperedException e)
        {
            Tampered(log, e, CorrelationId(context));
            context.Response.Headers[InternalHeaders.StoreChanged] = "1";
            return Results.Text("the record is not as it was written", statusCode: 500);
        }
    }

    private Task<Answer> InteractAsync(RepositoryRequest request, HttpContext context)
    {
        var address = RestRoutes.Match(context.Request.Method, RestRoutes.Segments(context.Request.Path.Value!));
        if (address.Type is { } asked && (!ResourceTypes.IsServed(asked) || (ResourceTypes.PlaceOf(asked) == ResourcePlace.Directory) != request.Compartment.IsDirectory))
            throw new FaultException(Fault.Absent);
        var cancel = context.RequestAborted;
        switch (address)
        {
            case { Interaction: RestInteraction.Bundle }:
                return TransactionAsync(request, context);
            case { Interaction: RestInteraction.Read or RestInteraction.VRead, Type: "Binary", Id: { } id }:
                request.Require(Reads);
                return ReadBinaryAsync(request, id, address.VersionId, context);
            case { Interaction: RestInteraction.Create or RestInteraction.Update, Type: "Binary" }
                when RawContent.IsContent(context.Request.ContentType) || context.Request.Headers.ContainsKey(InternalHeaders.ArrivedContent):
                return WriteContentAsync(request, address.Id, context);
            case { Interaction: RestInteraction.Read or RestInteraction.VRead, Type: { } type, Id: { } id }:
                request.Require(Reads);
                return ReadAsync(request, type, id, address.VersionId, context);
            case { Interaction: RestInteraction.HistoryInstance, Type: { } type, Id: { } id }:
                request.Require(Reads);
                return histories.OfInstanceAsync(request, type, id, QueryOf(context), cancel);
            case { Interaction: RestInteraction.HistoryType or RestInteraction.HistorySystem }:
                request.Require(Reads);
                return histories.OfCompartmentAsync(request, address.Type, QueryOf(context), cancel);
            case { Interaction: RestInteraction.Meta, Type: { } type, Id: { } id }:
                request.Require(Reads);
                return reading.MetaAsync(request, type, id, cancel);
            case { Interaction: RestInteraction.ValidateInstance, Type: { } type, Id: { } id }:
                request.Require(Reads);
                return ValidateAsync(request, type, id, context);
            case { Interaction: RestInteraction.Everything, Type: { } type, Id: { } id }:
                request.Require(Reads);
                return EverythingAsync(request, type, id, context);
            case { Interaction: RestInteraction.DocumentsOfPatient }:
                request.Require(Reads);
                return DocumentsAsync(request, context);
            case { Interaction: RestInteraction.SearchType, Type: { } type }:
                request.Require(Reads);
                return SearchAsync(request, address, type, context);
            case { Interaction: RestInteraction.Create, Type: { } type }:
                return CreateAsync(request, type, context);
            case { Interaction: RestInteraction.Update or RestInteraction.ConditionalUpdate }:
                return UpdateAsync(request, address, context);
            case { Interaction: RestInteraction.Patch or RestInteraction.ConditionalPatch }:
                return PatchAsync(request, address, context);
            case { Interaction: RestInteraction.Delete or RestInteraction.ConditionalDelete, Type: { } type }:
                return changes.DeleteAsync(request, type, address.Id, CriteriaOf(address, context), Header(context, "If-Match"), PreferenceOf(context), CorrelationId(context), cancel);
            default:
                throw Unsupported();
        }
    }

    private static readonly Fhir.Grants.GrantUse[] Reads = [Fhir.Grants.GrantUse.Read, Fhir.Grants.GrantUse.Write];

    private async Task<Answer> ReadAsync(RepositoryRequest request, string type, string id, string? versionId, HttpContext context) =>
        UnlessKnown(await reading.ReadAsync(request, type, id, versionId, context.RequestAborted).ConfigureAwait(false), context);

    private static Answer UnlessKnown(Answer answer, HttpContext context) =>
        answer.Unless(Header(context, "If-None-Match"), context.Request.GetTypedHeaders().IfModifiedSince);

    private async Task<Answer> SearchAsync(RepositoryRequest request, RestAddress address, string type, HttpContext context)
    {
        var form = QueryOf(context);
        if (context.Request.Method == "POST")
            form = string.Join('&', new[] { form, System.Text.Encoding.UTF8.GetString((await BodyAsync(context).ConfigureAwait(false)).Span) }.Where(p => p.Length > 0));
        return await searching.SearchAsync(request, type, address.WithPatient(form), Preferences.IsLenient(context.Request.Headers["Prefer"]), context.RequestAborted).ConfigureAwait(false);
    }

    private async Task<Answer> EverythingAsync(RepositoryRequest request, string type, string id, HttpContext context) =>
        await everything.OfAsync(request, type, id, await OperationFormAsync(context).ConfigureAwait(false), context.RequestAborted).ConfigureAwait(false);

    private async Task<Answer> ValidateAsync(RepositoryRequest request, string type, string id, HttpContext context)
    {
        var body = context.Request.Method == "POST" ? await BodyAsync(context).ConfigureAwait(false) : default;
        var (question, fault) = ValidateOperation.Read(QueryOf(context), body, type, isStored: true);
        return question is null ? throw new FaultException(fault!)
            : !question.Resource.IsEmpty ? throw Unsupported()
            : await reading.ValidateAsync(request, type, id, question, CorrelationId(context), context.RequestAborted).ConfigureAwait(false);
    }

    private async Task<Answer> DocumentsAsync(RepositoryRequest request, HttpContext context)
    {
        var (form, fault) = DocumentQuery.ToSearch(await OperationFormAsync(context).ConfigureAwait(false));
        return fault is not null ? throw new FaultException(fault)
            : await searching.SearchAsync(request, "DocumentReference", form!, lenient: false, context.RequestAborted).ConfigureAwait(false);
    }

    /// <summary>Parameters of an operation, from the address and from a Parameters resource.</summary>
    private static async Task<string> OperationFormAsync(HttpContext context)
    {
        var body = context.Request.Method == "POST" ? await BodyAsync(context).ConfigureAwait(false) : default;
        var (form, fault) = OperationParameters.ToForm(QueryOf(context), body.Span);
        return form ?? throw new FaultException(fault!);
    }

    private async Task<Answer> ReadBinaryAsync(RepositoryRequest request, string id, string? versionId, HttpContext context)
    {
        var (accept, cancel) = (context.Request.Headers.Accept.ToString(), context.RequestAborted);
        if (RawContent.IsAskedFor(accept, context.Request.Query["_format"]))
        {
            var answer = UnlessKnown(await contents.ReadAsync(request, id, versionId, accept, cancel).ConfigureAwait(false), context);
            return context.Request.Method != "GET" ? answer
                : answer.Within(Header(context, "Range"), Header(context, "If-Range"), fault => FaultTable.ToOperationOutcome(fault, CorrelationId(context), request.Language));
        }
        var read = await ReadAsync(request, "Binary", id, versionId, context).ConfigureAwait(false);
        return read.Body.IsEmpty ? read : await contents.ReadAsResourceAsync(request, read, cancel).ConfigureAwait(false);
    }

    private async Task<Answer> WriteContentAsync(RepositoryRequest request, string? id, HttpContext context)
    {
        if (Header(context, InternalHeaders.ArrivedContent) is { } arrived)
            return await contents.StoreArrivedAsync(request, id, arrived, Header(context, "If-Match"), Header(context, "If-None-Match"), PreferenceOf(context), CorrelationId(context), context.RequestAborted).ConfigureAwait(false);
        var named = Header(context, RawContent.SecurityContextHeader);
        var about = RawContent.SecurityContext(named, request.Base);
        if (about is null && (named is not null || id is null))
            throw new FaultException(RawContent.NoSecurityContext);
        // Bounded by what is counted while it streams.
        context.Features.GetRequiredFeature<IHttpMaxRequestBodySizeFeature>().MaxRequestBodySize = null;
        return await contents.WriteAsync(request, id, context.Request.ContentType!, about, context.Request.Body,
            Header(context, "If-Match"), Header(context, "If-None-Match"), PreferenceOf(context), CorrelationId(context), context.RequestAborted).ConfigureAwait(false);
    }

    private async Task<Answer> CreateAsync(RepositoryRequest request, string type, HttpContext context) =>
        await changes.CreateAsync(request, type, await BodyAsync(context).ConfigureAwait(false),
            Header(context, "If-None-Exist"), PreferenceOf(context), CorrelationId(context), context.RequestAborted).ConfigureAwait(false);

    private async Task<Answer> UpdateAsync(RepositoryRequest request, RestAddress address, HttpContext context) =>
        await changes.UpdateAsync(request, address.Type!, address.Id, CriteriaOf(address, context), await BodyAsync(context).ConfigureAwait(false),
            Header(context, "If-Match"), Header(context, "If-None-Match"), PreferenceOf(context), CorrelationId(context), context.RequestAborted).ConfigureAwait(false);

    private async Task<Answer> PatchAsync(RepositoryRequest request, RestAddress address, HttpContext context) =>
        await changes.PatchAsync(request, address.Type!, address.Id, CriteriaOf(address, context), await BodyAsync(context).ConfigureAwait(false),
            context.Request.ContentType, Header(context, "If-Match"), PreferenceOf(context), CorrelationId(context), context.RequestAborted).ConfigureAwait(false);

    private async Task<Answer> TransactionAsync(RepositoryRequest request, HttpContext context) =>
        await changes.TransactionAsync(request, await BodyAsync(context).ConfigureAwait(false), PreferenceOf(context), CorrelationId(context), context.RequestAborted).ConfigureAwait(false);

    /// <summary>What chooses the resource of a change whose address has no id; null where it has one.</summary>
    /// <exception cref="FaultException">There are no criteria: they would fit everything.</exception>
    private static string? CriteriaOf(RestAddress address, HttpContext context)
    {
        if (address.Id is not null)
            return null;
        var criteria = string.Join('&', QueryOf(context).Split('&').Where(p => p.Length > 0 && !PresentationParameters.Contains(p.Split('=')[0])));
        return criteria.Length > 0 ? criteria : throw new FaultException(new Fault(FaultKind.Invalid,
            "A change without an id in its address needs search parameters that find the resource: [Type]?[parameters].", "http.url"));
    }

    private static string? Header(HttpContext context, string name) => context.Request.Headers[name].ToString() is { Length: > 0 } value ? value : null;

    private static ReturnPreference PreferenceOf(HttpContext context) => Preferences.Return(context.Request.Headers["Prefer"]);

    /// <summary>Nothing was read or stored: the gateway decides or signs again.</summary>
    private static void AskAnew(HttpContext context, AskAnewException anew)
    {
        context.Response.StatusCode = 412;
        if (anew.PolicyVersion is { } version)
            context.Response.Headers[InternalHeaders.PolicyVersion] = version.ToString(System.Globalization.CultureInfo.InvariantCulture);
        else
            context.Response.Headers[InternalHeaders.GrantSpent] = "1";
        if (anew.Arrived is not null)
            context.Response.Headers[InternalHeaders.ArrivedContent] = anew.Arrived;
    }

    private async Task AnswerAsync(HttpContext context, Func<RepositoryRequest, HttpContext, Task<Answer>> interaction)
    {
        Fault fault;
        var isChanged = false;
        try
        {
            var headers = context.Request.Headers;
            var held = await grants.RequireAsync(headers[InternalHeaders.Grant]).ConfigureAwait(false);
            var directory = headers.TryGetValue(InternalHeaders.DirectoryGrant, out var second)
                ? await grants.RequireAsync(second).ConfigureAwait(false) : null;
            if (directory is not null && !directory.Grant.Compartment.IsDirectory)
                throw new FaultException(new Fault(FaultKind.NotIdentified, "The directory grant is for something else."));
            var request = new RepositoryRequest(held, directory, headers[InternalHeaders.Base].ToString())
            {
                Language = OutcomeLanguages.Of(headers[InternalHeaders.Language]),
                UnknownProfiles = headers[InternalHeaders.UnknownProfiles] == "accept" ? UnknownProfiles.Accept : UnknownProfiles.Refuse,
            };
            var answer = await interaction(request, context).ConfigureAwait(false);
            using (answer.Content)
                await answer.WriteAsync(context).ConfigureAwait(false);
            return;
        }
        catch (AskAnewException e)
        {
            AskAnew(context, e);
            return;
        }
        catch (FaultException e)
        {
            fault = e.Fault;
        }
        catch (Exception e) when (e is OperationCanceledException or IOException && context.RequestAborted.IsCancellationRequested)
        {
            return;
        }
        catch (BadHttpRequestException e)
        {
            fault = e.StatusCode == 413
                ? new Fault(FaultKind.TooLarge, $"The body is larger than {MaxBody >> 20} MB.")
                : new Fault(FaultKind.Invalid, "The request is not well-formed HTTP.");
        }
        catch (StoreException e)
        {
            StoreFailed(log, e);
            fault = new Fault(FaultKind.StoreUnavailable, e.MayHaveStored
                ? "The database failed while it stored the changes. Whether they were stored is not known; read before you send them again."
                : "The database does not answer. Nothing was disclosed and nothing was stored; send the request again later.");
        }
        catch (TamperedException e)
        {
            Tampered(log, e, CorrelationId(context));
            (fault, isChanged) = (Fault.StoreChanged, true);
        }
        catch (Exception e)
        {
            Failed(log, e, CorrelationId(context));
            fault = Unexpected();
        }
        if (context.Response.HasStarted)
        {
            context.Abort();
            return;
        }
        // Of an answer that was being given nothing is left: neither what it names nor how long it would have been.
        context.Response.Clear();
        if (isChanged)
            context.Response.Headers[InternalHeaders.StoreChanged] = "1";
        if (fault.RetryAfter is { } wait)
            context.Response.Headers.RetryAfter = ((long)wait.TotalSeconds).ToString(System.Globalization.CultureInfo.InvariantCulture);
        if (fault.Kind == FaultKind.MethodNotAllowed)
            context.Response.Headers.Allow = RestRoutes.Allowed(context.Request.Method, RestRoutes.Segments(context.Request.Path.Value!));
        var outcome = FaultTable.ToOperationOutcome(fault, CorrelationId(context), OutcomeLanguages.Of(context.Request.Headers[InternalHeaders.Language]));
        await new Answer(FaultTable.Of(fault.Kind).Status, outcome, []) { HasManifest = false }.WriteAsync(context).ConfigureAwait(false);
    }

    private static Fault Unexpected() => new(FaultKind.Unexpected, "The repository failed. Give the id of this outcome to its operator.");

    private static FaultException Unsupported() => new(new Fault(FaultKind.MethodNotAllowed, "This interaction is not supported here; see the CapabilityStatement at /metadata."));

    private static string CorrelationId(HttpContext context)
    {
        string? id = context.Request.Headers[InternalHeaders.CorrelationId];
        return string.IsNullOrEmpty(id) ? context.TraceIdentifier.Replace(':', '-') : id;
    }

    private static string QueryOf(HttpContext context) => context.Request.QueryString.Value?.TrimStart('?') ?? "";

    private static async ValueTask<ReadOnlyMemory<byte>> BodyAsync(HttpContext context)
    {
        if (context.Request.ContentLength is > 0 and <= MaxBody and var length)
        {
            var exact = new byte[length];
            await context.Request.Body.ReadExactlyAsync(exact, context.RequestAborted).ConfigureAwait(false);
            return exact;
        }
        using var buffer = new MemoryStream();
        await context.Request.Body.CopyToAsync(buffer, context.RequestAborted).ConfigureAwait(false);
        return buffer.GetBuffer().AsMemory(0, (int)buffer.Length);
    }

    [LoggerMessage(1, LogLevel.Error, "The database failed.")]
    private static partial void StoreFailed(ILogger log, Exception e);

    [LoggerMessage(2, LogLevel.Critical, "Stored rows are not what was written. Request {CorrelationId}.")]
    private static partial void Tampered(ILogger log, Exception e, string correlationId);

    [LoggerMessage(3, LogLevel.Error, "A request failed unexpectedly. Request {CorrelationId}.")]
    private static partial void Failed(ILogger log, Exception e, string correlationId);
}
