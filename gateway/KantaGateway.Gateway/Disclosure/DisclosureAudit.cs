using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>Steps 5 and 8: turns what happened into audit entries and has them on disk before it returns (law 1).</summary>
/// <remarks>Act 703/2023 §10: who, for which organisation, whose data, what, when, why, on what legal basis. IHE BALP 1.1.</remarks>
public sealed class DisclosureAudit(AuditLog log, IdentifierCipher ids, GatewayOptions options, TimeProvider time, GrantAccounts? accounts = null, DisclosureMetrics? metrics = null) : IIdentificationObserver
{
    /// <summary>The answer when an entry can't be written.</summary>
    public static Fault Unavailable { get; } = new(FaultKind.AuditUnavailable, "The access could not be recorded, so nothing was disclosed. Try again; read before you repeat a write.");

    private static readonly AuditOrganisation Unknown = new("unknown", "not identified");

    /// <summary>Step 5 for writes: that the write was permitted and will be tried.</summary>
    /// <exception cref="FaultException">It is not on disk; don't go on.</exception>
    public Task IntentAsync(HttpContext context, Requester requester, Interaction interaction, Decision.Permit permit) => AppendAsync(interaction.Compartment,
        Record(context, requester, interaction, AuditKind.AuthorizationDecision) with { LegalBasis = Explanation.NameOf(permit.Basis), Rules = Explanation.Of(permit.Rules) });

    /// <summary>Step 5 for refusals, of identified callers and others.</summary>
    /// <exception cref="FaultException">It is not on disk.</exception>
    public Task RefusalAsync(HttpContext context, Requester? requester, Interaction? interaction, Fault fault, string reason) => AppendAsync(interaction?.Compartment,
        Record(context, requester, interaction, AuditKind.AuthorizationDecision) with
        {
            Outcome = FaultTable.Of(fault.Kind).Status is 401 or 403 or 503 ? AuditOutcome.SeriousFailure : AuditOutcome.MinorFailure,
            OutcomeDescription = reason,
        });

    /// <summary>Records a refusal and answers with it: nothing is refused unrecorded, and where it cannot be recorded the answer says only that.</summary>
    public async Task RefuseAsync(HttpContext context, Requester? requester, Interaction? interaction, Fault fault, string reason)
    {
        try
        {
            await RefusalAsync(context, requester, interaction, fault, reason);
        }
        catch (FaultException unrecorded)
        {
            fault = unrecorded.Fault;
        }
        await FaultWriter.WriteAsync(context, fault);
    }

    /// <summary>Step 8: what the repository's answer really discloses or has written.</summary>
    /// <param name="decidedAt">When it was permitted: by what was in force then, however long the answer took.</param>
    /// <returns>The answer's <see cref="Receipt"/>; null for one that gives nothing.</returns>
    /// <exception cref="FaultException">It is not on disk; no byte may leave.</exception>
    public async Task<string?> OutcomeAsync(HttpContext context, Requester requester, Interaction interaction, Decision.Permit permit, PolicySnapshot policy, DateTimeOffset decidedAt, int status, DisclosureManifest? manifest)
    {
        var record = Record(context, requester, interaction, KindOf(interaction.Kind)) with
        {
            LegalBasis = Explanation.NameOf(permit.Basis),
            Rules = Explanation.Of(permit.Rules),
            Outcome = status < 400 ? AuditOutcome.Success : status < 500 ? AuditOutcome.MinorFailure : AuditOutcome.SeriousFailure,
            OutcomeDescription = status < 400 ? null : status.ToString(CultureInfo.InvariantCulture),
            Digest = manifest?.Digest,
            ConsentId = ConsentOf(requester, permit.Basis, policy, decidedAt),
            Query = interaction.Query,
        };
        var heads = manifest is { Heads.Count: > 0 } ? HeadsOf(manifest) : null;
        var written = ItemsOf(manifest, written: true);
        var shown = ItemsOf(manifest, written: false);
        // A write may also show what was there before: a transaction's reads, a conditional create that found its match.
        // To the person these are two things, so they are two entries.
        DisclosureRecord[] records = !interaction.IsWrite ? [record with { Items = shown }]
            : shown.Length == 0 ? [record with { Items = written, Heads = heads }]
            : written.Length == 0 ? [Shown()]
            : [record with { Items = written, Heads = heads }, Shown()];
        var gives = status < 400;
        var receipts = await AppendAsync(interaction.Compartment, gives ? requester.Receiver : null, records);
        if (gives)
            metrics?.Left(records[0].LegalBasis!, CodeOf(interaction.Kind), shown.Length);
        return gives ? Receipt.Of(receipts) : null;

        DisclosureRecord Shown() => record with { Kind = AuditKind.Rest, Interaction = "read", Items = shown };
    }

    /// <summary>That records are about to be looked into for emergencies that wait for their review. What is found there decides, and leaves by <see cref="ReviewableAsync"/> alone.</summary>
    /// <exception cref="FaultException">It is not on disk; look into none.</exception>
    public Task LookAsync(HttpContext context, Requester professional, IEnumerable<Pseudonym> people) => AppendAsync(null, Record(context, professional, null, AuditKind.Rest) with
    {
        OutcomeDescription = "Looked whether emergencies wait for their review.",
        Items = [.. people.Select(person => new AuditItem("Patient", ids.PatientId(person), null, null))],
    });

    /// <summary>What a reviewer is told of emergencies that wait: an entry for each person, who finds it among who has looked.</summary>
    /// <returns>The answer's <see cref="Receipt"/>.</returns>
    /// <exception cref="FaultException">It is not on disk; no byte may leave.</exception>
    public async Task<string> ReviewableAsync(HttpContext context, Requester reviewer, IEnumerable<(Pseudonym Person, IReadOnlyList<EmergencyAccess> Emergencies)> told)
    {
        var record = Record(context, reviewer, null, AuditKind.Query) with
        { Interaction = "search-type", LegalBasis = Explanation.NameOf(LegalBasis.OwnRegister), Rules = Explanation.NameOf(Rule.ReviewsEmergency), Query = context.Request.Path };
        return Receipt.Of(await AppendAsync(
        [
            .. told.Select(one => AuditEntry.Of(one.Person.ToArray(), record with
            {
                PatientId = ids.PatientId(one.Person),
                Items = [.. one.Emergencies.Select(emergency => new AuditItem("Consent", emergency.Id, emergency.VersionId, emergency.Organisation))],
            }, reviewer.Receiver)),
        ]));
    }

    /// <summary>That records were opened for requests of which nothing came: no answer of the repository left the gateway, and nothing else says that they were asked for.</summary>
    /// <exception cref="FaultException">It is not on disk.</exception>
    internal async Task CameToNothingAsync(IReadOnlyList<GrantAccount> opened)
    {
        await AppendAsync([.. opened.Select(one => AuditEntry.Of(one.Person.ToArray(), Record(new DefaultHttpContext(), one.Requester, null, AuditKind.AuthorizationDecision) with
        {
            PatientId = ids.PatientId(one.Person),
            Outcome = AuditOutcome.MinorFailure,
            OutcomeDescription = "The record was opened for a request that came to nothing. Nothing of it left the gateway.",
        }))]);
        foreach (var one in opened)
            one.Record(time.GetTimestamp());
    }

    private static AuditHead[] HeadsOf(DisclosureManifest manifest) =>
        [.. manifest.Heads.Select(written => new AuditHead(written.IsDirectory ? AuditHead.Directory : AuditHead.Patient, written.Head.Sequence, written.Head.Hex))];

    private static AuditItem[] ItemsOf(DisclosureManifest? manifest, bool written) =>
        manifest is null ? [] : [.. manifest.Items.Where(i => i.Written == written).Select(i => new AuditItem(i.Type, i.Id, i.VersionId, i.Controller, i.Register == Register.Patient ? null : i.Register))];

    /// <summary>What the citizen has answered to an app that asks for her records.</summary>
    /// <exception cref="FaultException">It is not on disk; the app gets no code.</exception>
    internal Task AnswerAsync(HttpContext context, Requester citizen, Pseudonym self, RegisteredClient app, IReadOnlyList<string> scopes, bool isAllowed) => AppendAsync(self,
        Record(context, citizen, null, AuditKind.AuthorizationDecision) with
        {
            System = new(app.ClientId, AddressOf(context), app.AppName, CertificateOf(context)),
            Organisation = new(app.Organisation.ToString(), app.Registration.OrganisationName),
            PatientId = ids.PatientId(self),
            LegalBasis = isAllowed ? Explanation.NameOf(LegalBasis.OwnData) : null,
            Outcome = isAllowed ? AuditOutcome.Success : AuditOutcome.MinorFailure,
            OutcomeDescription = $"The citizen {(isAllowed ? "allowed" : "did not allow")} {string.Join(' ', scopes)}.",
        });

    /// <summary>That the citizen ends what an app was given.</summary>
    /// <param name="app">Null: it is no longer registered.</param>
    /// <exception cref="FaultException">It is not on disk; end nothing.</exception>
    internal Task EndsAppAsync(HttpContext context, Requester citizen, Pseudonym self, string clientId, RegisteredClient? app) => AppendAsync(self,
        Record(context, citizen, null, AuditKind.AuthorizationDecision) with
        {
            System = new(clientId, AddressOf(context), app?.AppName, CertificateOf(context)),
            Organisation = app is null ? Unknown : new(app.Organisation.ToString(), app.Registration.OrganisationName),
            PatientId = ids.PatientId(self),
            LegalBasis = Explanation.NameOf(LegalBasis.OwnData),
            OutcomeDescription = "The citizen ends what the app was given.",
        });

    /// <inheritdoc />
    public async ValueTask RefusedAsync(HttpContext context, string clientIdOrEmpty, string reason, CancellationToken cancel) =>
        await AppendAsync(null, Record(context, null, null, AuditKind.AuthorizationDecision) with
        {
            System = new(clientIdOrEmpty.Length == 0 ? "unknown" : clientIdOrEmpty, AddressOf(context), null, CertificateOf(context)),
            Outcome = AuditOutcome.SeriousFailure,
            OutcomeDescription = reason,
        });

    /// <inheritdoc />
    public async ValueTask RepresentationAsync(HttpContext context, Requester citizen, Pseudonym person, RepresentationKind? kind, string? refusal, CancellationToken cancel) =>
        await AppendAsync(person, Record(context, kind is { } right ? citizen with { OnBehalfOf = new(person, right, "") } : citizen, null, AuditKind.AuthorizationDecision) with
        {
            PatientId = ids.PatientId(person),
            LegalBasis = kind is null ? null : Explanation.NameOf(LegalBasis.OnBehalf),
            Outcome = refusal is null ? AuditOutcome.Success : AuditOutcome.SeriousFailure,
            OutcomeDescription = refusal ?? "The citizen acts for the person from now on.",
        });

    /// <inheritdoc />
    public async ValueTask RefreshedAsync(HttpContext context, Requester app, CancellationToken cancel) =>
        await AppendAsync(app.Self, Record(context, app, null, AuditKind.AuthorizationDecision) with
        {
            PatientId = app.Self is { } self ? ids.PatientId(self) : null,
            LegalBasis = app.Self is null ? null : Explanation.NameOf(LegalBasis.OwnData),
            OutcomeDescription = $"The app goes on with {string.Join(' ', app.Scopes)}.",
        });

    /// <inheritdoc />
    public ValueTask HeldAsync(System.Net.IPAddress? address, string clientIdOrEmpty, string reason, CancellationToken cancel) =>
        RefusedAsync(new DefaultHttpContext { Connection = { RemoteIpAddress = address } }, clientIdOrEmpty, reason, cancel);

    private Task AppendAsync(Pseudonym? compartment, DisclosureRecord record) => AppendAsync(compartment, null, record);

    private async Task<IReadOnlyList<AuditReceipt>> AppendAsync(Pseudonym? compartment, string? receiver, params DisclosureRecord[] records)
    {
        var subject = compartment is { IsDirectory: false } person ? person.ToArray() : [];
        var receipts = await AppendAsync([.. records.Select(r => AuditEntry.Of(subject, r, receiver) with { IsOwn = AccessLog.IsBySelf(r) })]);
        if (compartment is { } about && records[0].TokenId is { } token)
            accounts?.Recorded(token, about);
        return receipts;
    }

    private async Task<IReadOnlyList<AuditReceipt>> AppendAsync(AuditEntry[] entries)
    {
        try
        {
            return await log.AppendAsync(entries);
        }
        catch (AuditUnavailableException)
        {
            throw new FaultException(Unavailable); // the log has said why, in its own log messages
        }
    }

    private DisclosureRecord Record(HttpContext context, Requester? requester, Interaction? interaction, AuditKind kind) => new()
    {
        Kind = kind,
        Interaction = interaction is null ? "operation" : CodeOf(interaction.Kind),
        Recorded = time.GetUtcNow(),
        Server = options.PublicAddress + "/fhir",
        System = new(requester?.ClientId ?? "unknown", AddressOf(context), requester?.AppName, CertificateOf(context)),
        Organisation = requester is null ? Unknown : new(requester.Organisation.ToString(), requester.OrganisationName),
        Subscriber = requester?.Subscriber is { } subscriber ? new(subscriber.Organisation.ToString(), subscriber.Name) : null,
        Professional = requester is { Kind: RequesterKind.Professional, ProfessionalId: { } id } ? new(id, requester.ProfessionalName, requester.Profession) : null,
        Unit = requester?.Unit,
        // Of who acts for another the represented person learns the name (§74); of the person's own visits none is needed.
        Citizen = requester?.Self is not { } self ? null
            : requester.OnBehalfOf is { } represented ? new(ids.PatientId(self), requester.CitizenName, RoleOf(represented.Kind)) : new(ids.PatientId(self), null, null),
        PatientId = interaction is { Compartment: { IsDirectory: false } compartment } ? ids.PatientId(compartment) : null,
        PurposeOfUse = requester?.PurposeOfUse ?? "",
        RequestId = Correlation.Of(context),
        TokenId = requester?.TokenId,
    };

    /// <summary>The declaration or record on which a disclosure rests (§10: legal basis or permission).</summary>
    private static string? ConsentOf(Requester requester, LegalBasis basis, PolicySnapshot policy, DateTimeOffset decidedAt) => basis switch
    {
        LegalBasis.DisclosurePermission => policy.PermissionAt(decidedAt)?.Id,
        LegalBasis.Emergency => policy.EmergencyOf(requester.ProfessionalId, requester.Organisation.ToString(), decidedAt)?.Id,
        _ => null,
    };

    private static string RoleOf(RepresentationKind kind) => kind == RepresentationKind.Custodian ? AuditPerson.Custodian : AuditPerson.MandateHolder;

    private static string AddressOf(HttpContext context) => context.Connection.RemoteIpAddress?.ToString() ?? "inside";

    private static string? CertificateOf(HttpContext context) =>
        context.Connection.ClientCertificate is { } certificate ? Base64Url.EncodeToString(certificate.GetCertHash(HashAlgorithmName.SHA256)) : null;

    private static AuditKind KindOf(InteractionKind kind) => kind switch
    {
        InteractionKind.Read or InteractionKind.VRead => AuditKind.Read,
        InteractionKind.Search => AuditKind.Query,
        InteractionKind.Create => AuditKind.Create,
        InteractionKind.Update or InteractionKind.Patch => AuditKind.Update,
        InteractionKind.Delete => AuditKind.Delete,
        _ => AuditKind.Rest,
    };

    /// <summary>Code of restful-interaction (hl7.org/fhir/R4/codesystem-restful-interaction.html).</summary>
    private static string CodeOf(InteractionKind kind) => kind switch
    {
        InteractionKind.Read => "read",
        InteractionKind.VRead => "vread",
        InteractionKind.History => "history-instance",
        InteractionKind.HistoryType => "history-type",
        InteractionKind.HistorySystem => "history-system",
        InteractionKind.Everything or InteractionKind.Validate => "operation",
        InteractionKind.Search => "search-type",
        InteractionKind.Create => "create",
        InteractionKind.Update => "update",
        InteractionKind.Patch => "patch",
        InteractionKind.Delete => "delete",
        _ => "transaction",
    };
}
