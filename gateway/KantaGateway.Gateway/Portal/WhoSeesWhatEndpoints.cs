using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Protection;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Gateway.Portal;

/// <summary>
/// <c>POST /consent/v1/preview</c> and <c>POST /consent/v1/explain</c>: what the consent pages tell, as JSON, to the signed-in citizen (session cookie) or to an app of hers
/// (access token with <c>patient/Consent.r</c>). Same code as the pages; refusals are ProblemDetails (RFC 9457), and every answer is on record before it leaves.
/// </summary>
/// <remarks>README.md beside this file describes bodies and answers. A new version gets a new address; members may be added to answers of this one.</remarks>
internal static class WhoSeesWhatEndpoints
{
    /// <param name="Consent">What would be saved; absent: as things are.</param>
    private sealed record PreviewBody(JsonElement? Consent = null);

    private sealed record ExplainBody(EntryBody Entry, ViewerBody? Viewer = null);

    private sealed record EntryBody(string Type, string Id);

    /// <param name="Organisation">OID; absent: some other provider.</param>
    /// <param name="Profession">As the role register writes it.</param>
    /// <param name="Task">Task class of the decree; absent: the widest of the profession.</param>
    /// <param name="Purpose">TREAT or ETREAT.</param>
    /// <param name="Treating">Absent: assumed of some provider, of a named one as its service events prove.</param>
    private sealed record ViewerBody(string? Organisation = null, string? Unit = null, string? Profession = null, string? Task = null, string? Purpose = null, bool? Treating = null);

    private sealed record OrganisationAnswer(string Oid, string Name);

    /// <param name="InUusimaa">Present only where public providers share registers (§54.1).</param>
    private sealed record CountsAnswer(int Treating, int InEmergency, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? InUusimaa);

    private sealed record RegisterAnswer(OrganisationAnswer Controller, string Register, string? Employer, int Entries, CountsAnswer Now, CountsAnswer? Then);

    private sealed record PreviewAnswer(DateTimeOffset AsOf, IEnumerable<RegisterAnswer> Registers);

    private sealed record PlaceAnswer(string Type, string Id, OrganisationAnswer Controller, string Register, string? Employer, string? ServiceEvent);

    private sealed record ViewerAnswer(OrganisationAnswer? Organisation, string? Task, string Purpose, bool Treats);

    private sealed record ReasonAnswer(string Code, string Text, IEnumerable<string> Declarations);

    private sealed record ExplainAnswer(DateTimeOffset AsOf, PlaceAnswer Entry, ViewerAnswer Viewer, bool Sees, IEnumerable<ReasonAnswer> Because, string? LegalBasis, IEnumerable<string> Rules);

    public static void MapWhoSeesWhat(this IEndpointRouteBuilder app, PortalEndpoint marker)
    {
        app.MapPost("/consent/v1/preview", static context => AnswerAsync(context, PreviewAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("preview", ApiCallersAttribute.PersonOrApp, "How many entries others see now, and would see.", typeof(PreviewAnswer), typeof(PreviewBody));
        app.MapPost("/consent/v1/explain", static context => AnswerAsync(context, ExplainAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("explain", ApiCallersAttribute.PersonOrApp, "Whether a professional sees an entry, and why.", typeof(ExplainAnswer), typeof(ExplainBody));
    }

    private static async Task<(object Answer, Asked Asked)> PreviewAsync(HttpContext context, Requester citizen, ReadOnlyMemory<byte> body)
    {
        var services = context.RequestServices;
        var about = JsonRequests.Read<PreviewBody>(body).Consent is { } consent ? DeclarationIn(consent, services.GetRequiredService<IdentifierCipher>().PatientId(citizen.Person!.Value)) : null;
        var (seen, asked) = await services.GetRequiredService<IWhoSeesWhat>().PreviewAsync(citizen, about, context.RequestAborted);
        var names = services.GetRequiredService<OrganisationNames>();
        return (new PreviewAnswer(services.GetRequiredService<TimeProvider>().GetUtcNow(),
            seen.Select(s => new RegisterAnswer(Organisation(s.Controller, names), RegisterOf(s.Register), Register.EmployerOf(s.Register), s.Count, Counts(s.Now), s.Then is { } then ? Counts(then) : null))),
            asked with { Interaction = asked.Interaction with { Query = "preview" } });
    }

    private static async Task<(object Answer, Asked Asked)> ExplainAsync(HttpContext context, Requester citizen, ReadOnlyMemory<byte> body)
    {
        var services = context.RequestServices;
        var (entry, viewer) = JsonRequests.Read<ExplainBody>(body);
        if (!ResourceTypes.IsServed(entry.Type) || ResourceTypes.PlaceOf(entry.Type) == ResourcePlace.Directory || entry.Type == "Patient")
            throw JsonRequests.Invalid("entry.type is no type of entry of a person's record.");
        var onlooker = OnlookerIn(viewer ?? new(), services.GetRequiredService<IControllers>(), services.GetRequiredService<ProtectionRules>(), services.GetRequiredService<GatewayOptions>());
        var (seen, asked) = await services.GetRequiredService<IWhoSeesWhat>().ExplainAsync(citizen, entry.Type, entry.Id, onlooker, context.RequestAborted);
        var (names, texts) = (services.GetRequiredService<OrganisationNames>(), services.GetRequiredService<Texts>());
        return (new ExplainAnswer(services.GetRequiredService<TimeProvider>().GetUtcNow(),
            new(seen.Entry.Type, seen.Entry.Id, Organisation(seen.Entry.Controller, names), RegisterOf(seen.Entry.Register), Register.EmployerOf(seen.Entry.Register), seen.Entry.ServiceEvent),
            new(onlooker.Organisation is { } oid ? Organisation(oid.ToString(), names) : null, TaskClasses.NameOf(onlooker.Tasks), onlooker.IsEmergency ? "ETREAT" : "TREAT", seen.Treats),
            seen.Sees,
            seen.Because.Select(b => new ReasonAnswer(NameOf(b.Why), texts[$"why.{NameOf(b.Why)}"], b.Declarations.Select(id => "Consent/" + id))),
            seen.Basis is { } basis ? NameOf(basis) : null, seen.Rules.Select(NameOf)), asked with { Interaction = asked.Interaction with { Query = $"explain {seen.Entry.Type}/{seen.Entry.Id}" } });
    }

    /// <summary>Answers a citizen, and has on disk what was told before the first byte leaves (law 1).</summary>
    private static Task AnswerAsync(HttpContext context, Func<HttpContext, Requester, ReadOnlyMemory<byte>, Task<(object, Asked)>> ask) => JsonRequests.AnswerAsync(context, CitizenAsync, async (context, citizen) =>
    {
        context.Features.Set<IRequesterFeature>(new RequesterFeature(citizen));
        var (answer, asked) = await ask(context, citizen, await JsonRequests.BodyAsync(context.Request));
        var bytes = JsonSerializer.SerializeToUtf8Bytes(answer, JsonSerializerOptions.Web);
        var national = context.RequestServices.GetRequiredService<GatewayOptions>().NationalOrganisation;
        var told = DisclosureManifest.Of([.. asked.Policy.Declarations.Select(d => new ManifestItem("Consent", d.Id, d.VersionId, d.RecordedBy ?? national))], bytes);
        context.Response.Headers[Receipt.Header] = await context.RequestServices.GetRequiredService<DisclosureAudit>()
            .OutcomeAsync(context, citizen, asked.Interaction, asked.Permit, asked.Policy, asked.At, StatusCodes.Status200OK, told);
        await JsonRequests.WriteAsync(context, bytes);
    });

    /// <summary>The citizen by access token where one is sent, else by her session, which may be for another.</summary>
    internal static async Task<Requester> CitizenAsync(HttpContext context)
    {
        var services = context.RequestServices;
        var identification = services.GetRequiredService<IIdentification>();
        if (context.Request.Headers.Authorization.Count > 0)
            return await JsonRequests.IdentifyAsync(context) is { Kind: RequesterKind.Citizen } person ? person
                : throw new FaultException(new(FaultKind.Denied, "This is told to the person alone: at the portal, or through an app that the person lets ask."));
        if (identification.PortalRequester(context) is not { } citizen)
            throw new FaultException(PortalSessions.AreAway(context) ? new(FaultKind.IdentificationUnavailable, "Sessions cannot be read at the moment. Try again.")
                : new(FaultKind.NotIdentified, "Sign in at the portal, or send the access token of an app that the person lets ask."));
        if (citizen.Self is { } self)
            OpenRequests.EnterSession(context, self);
        return await ActingAsync(context, citizen);
    }

    /// <summary>The citizen, for whom she acts in her session.</summary>
    internal static async Task<Requester> ActingAsync(HttpContext context, Requester citizen)
    {
        if (context.RequestServices.GetService<Representations>() is not { } representations)
            return citizen;
        return await representations.OfAsync(context, citizen) switch
        {
            Standing.Oneself => citizen,
            Standing.For(var person) => citizen with { OnBehalfOf = person },
            Standing.Ended => throw new FaultException(new(FaultKind.NotIdentified, "The session was for another person and is so no longer. Open the portal to choose anew.")),
            _ => throw new FaultException(new(FaultKind.IdentificationUnavailable, "For whom the session is cannot be told at the moment. Try again.")),
        };
    }

    /// <summary>What a Consent would declare, were it sent to be saved.</summary>
    private static Declaration DeclarationIn(JsonElement consent, string patientId)
    {
        var declaration = JsonRequests.DeclarationIn(consent);
        // Somebody else's looks like nobody's.
        return consent.At("patient")?.String("reference") == "Patient/" + patientId ? declaration : throw new FaultException(Fault.Absent);
    }

    private static Onlooker OnlookerIn(ViewerBody viewer, IControllers controllers, ProtectionRules protection, GatewayOptions options)
    {
        Oid? organisation = null;
        var kind = ControllerKind.Private;
        if (viewer.Organisation is { } text)
        {
            if (!Oid.TryParse(text, out var oid) || controllers.KindsOf(oid.ToString()) is not [var joined, ..])
                throw JsonRequests.Invalid("viewer.organisation is not the OID of an organisation that has joined.");
            (organisation, kind) = (oid, joined);
        }
        var most = viewer.Profession is { } profession ? TaskClasses.Of(profession) ?? throw JsonRequests.Invalid("viewer.profession is not known.") : TaskClass.BroadCare;
        var tasks = TaskClasses.Narrow(most, viewer.Task) ?? throw JsonRequests.Invalid("viewer.task is none that the profession may have.");
        if (viewer.Purpose is not (null or "TREAT" or "ETREAT"))
            throw JsonRequests.Invalid("viewer.purpose is TREAT or ETREAT.");
        if (viewer.Unit is { } unit && !Oid.TryParse(unit, out _))
            throw JsonRequests.Invalid("viewer.unit is no OID.");
        return new(organisation, kind, tasks, viewer.Purpose == "ETREAT", viewer.Treating ?? organisation is null)
        {
            Profession = viewer.Profession,
            Unit = viewer.Unit,
            Services = organisation is { } its ? controllers.ServicesOf(its.ToString()) : HealthServices.Reception,
            OwnServices = organisation is { } practice ? protection.OfController(practice.ToString()) : ProtectedService.None,
            JointWith = options.JointWith(organisation?.ToString(), kind),
        };
    }

    private static string NameOf<T>(T code) where T : struct, Enum => JsonNamingPolicy.KebabCaseLower.ConvertName(code.ToString());

    private static OrganisationAnswer Organisation(string oid, OrganisationNames names) => new(oid, names.Of(oid));

    private static string RegisterOf(string register) => Register.IsOccupational(register) ? "occupational" : "patient";

    private static CountsAnswer Counts(IReadOnlyList<int> seen) =>
        new(seen[(int)Viewer.Treating], seen[(int)Viewer.InEmergency], seen.Count > (int)Viewer.Joint ? seen[(int)Viewer.Joint] : null);
}
