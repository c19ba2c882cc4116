using System.Collections.Frozen;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Validation;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Gateway.Identification;

/// <summary>Kind of caller; architecture section 4.</summary>
public enum RequesterKind { System, Professional, Citizen }

/// <summary>Kind of data controller (THL 1.2.246.537.5.40172: 1 public, 2 private; occupational care and independent practitioners kept apart).</summary>
public enum ControllerKind { Public, Private, Occupational, Independent }

/// <summary>
/// Who is asking, after step 1: every field was proven by a certificate, a token or a strong identification.
/// </summary>
/// <remarks>Act 703/2023 §8: client, provider, professional, devices and services are identified reliably.</remarks>
public sealed record Requester
{
    public required RequesterKind Kind { get; init; }

    /// <summary>OAuth client: the clinic system, or the portal.</summary>
    public required string ClientId { get; init; }

    /// <summary>Name under which the citizen knows the app that asks for her; null when no app does.</summary>
    public string? AppName { get; init; }

    /// <summary>OID of the organisation on whose behalf the client acts (serviceRequester): the data controller of what it writes.</summary>
    public required Oid Organisation { get; init; }

    public required string OrganisationName { get; init; }

    /// <summary>The organisation whose system asks for it (serviceSubscriber), where that is another: the host of a joint connection.</summary>
    public Subscriber? Subscriber { get; init; }

    public required ControllerKind ControllerKind { get; init; }

    /// <summary>OIDs of controllers for whom the organisation produces purchased services, and into whose patient registers it may write (§13).</summary>
    public IReadOnlyList<string> ProducesFor { get; init; } = [];

    /// <summary>
    /// OIDs of the public controllers of whom the requester's is one and that need no permission among each other (§54.1); empty: it is of none.
    /// </summary>
    public IReadOnlyList<string> JointWith { get; init; } = [];

    /// <summary>The specially protected services that all the organisation records is of, by the rule about its controller (§26.2); none: no rule makes it wholly one.</summary>
    public ProtectedService OwnServices { get; init; }

    /// <summary>The services that the organisation gives (decree 457/2024 §4): what a task reaches depends on them. Those of a reception where its registration states none.</summary>
    public HealthServices Services { get; init; } = HealthServices.Reception;

    /// <summary>Unique id of the professional (Terhikki number or the clinic provider's subject); null for systems and citizens.</summary>
    public string? ProfessionalId { get; init; }

    public string? ProfessionalName { get; init; }

    public string? Profession { get; init; }

    /// <summary>Task of the professional (decree 457/2024 §3); null for others, and where no role register is configured.</summary>
    public TaskClass? Tasks { get; init; }

    /// <summary>OID of the service unit in which the professional acts; null when none was named.</summary>
    public string? Unit { get; init; }

    /// <summary>An emergency that the professional recorded of anybody has waited too long for its review (Act 703/2023 §54.2).</summary>
    public bool EmergencyIsOverdue { get; init; }

    /// <summary>When two operators found that the emergencies recorded under the professional's number until then bar from no other; null: nobody did.</summary>
    public DateTimeOffset? EmergencyBarEnded { get; init; }

    /// <summary>Disputes of accesses that two operators have settled, by the id of the Consent: they keep nobody from anything any more.</summary>
    public IReadOnlySet<string> EndedRestrictions { get; init; } = FrozenSet<string>.Empty;

    /// <summary>The citizen's own compartment; null otherwise.</summary>
    public Pseudonym? Self { get; init; }

    /// <summary>
    /// For whom the citizen acts; null: for herself. While she acts for another, <see cref="Self"/> says who acts, and her own record is out of
    /// reach.
    /// </summary>
    public RepresentedPerson? OnBehalfOf { get; init; }

    /// <summary>Whose record a citizen's request is about: the represented person's, else her own. Null for others.</summary>
    public Pseudonym? Person => OnBehalfOf?.Compartment ?? Self;

    /// <summary>The citizen's display name, to greet with; never logged. Null otherwise.</summary>
    public string? CitizenName { get; init; }

    /// <summary>v3-ActReason code: TREAT by default, PATRQT for citizens.</summary>
    public required string PurposeOfUse { get; init; }

    /// <summary>Authentication context: loa of the citizen, or how the professional signed in.</summary>
    public string? Acr { get; init; }

    /// <summary>The access token's jti (at most 32 characters) or the portal session's id; what the audit may log of a token.</summary>
    public required string TokenId { get; init; }

    /// <summary>Granted SMART scopes.</summary>
    public required IReadOnlyList<SmartScope> Scopes { get; init; }

    /// <summary>When the token or session ends.</summary>
    public required DateTimeOffset Expires { get; init; }

    /// <summary>Policy of its registration for resources that claim a profile which is not known.</summary>
    public UnknownProfiles UnknownProfiles { get; init; }

    /// <summary>The names by which what the requester has shown can be revoked; none of a portal session, which its ticket knows.</summary>
    internal IReadOnlyList<RevokedName> Bears { get; init; } = [];

    /// <summary>What a registration says of a clinic's system, however it is identified. Of a person, or of what was issued to one, nothing is in it.</summary>
    /// <param name="tokenId">As <see cref="TokenId"/>.</param>
    /// <param name="approvals">What operators have decided; null: there are none.</param>
    internal static Requester OfSystem(RegisteredClient client, RegisteredRequester requester, GatewayOptions options, Approvals? approvals, string tokenId, string purpose, IReadOnlyList<SmartScope> scopes, DateTimeOffset expires) => new()
    {
        Kind = RequesterKind.System,
        ClientId = client.ClientId,
        AppName = client.AppName,
        Organisation = requester.Organisation,
        OrganisationName = requester.Name,
        Subscriber = requester.Organisation == client.Organisation ? null : new(client.Organisation, client.Registration.OrganisationName),
        ControllerKind = requester.Kind,
        Services = requester.Services,
        ProducesFor = client.Registration.ProducesFor,
        JointWith = options.JointWith(requester.Organisation.ToString(), requester.Kind),
        EndedRestrictions = approvals?.Current.EndedRestrictions ?? FrozenSet<string>.Empty,
        PurposeOfUse = purpose,
        TokenId = tokenId,
        Scopes = scopes,
        Expires = expires,
        UnknownProfiles = client.Registration.UnknownProfiles,
    };

    /// <summary>Opaque name to which grants and page links are bound.</summary>
    public string Caller => Kind switch
    {
        RequesterKind.Professional => $"{System}|{ProfessionalId}",
        RequesterKind.Citizen => OnBehalfOf is null ? $"{ClientId}|{Self?.Encode()}" : $"{ClientId}|{Self?.Encode()}|{OnBehalfOf.Compartment.Encode()}",
        _ => System,
    };

    /// <summary>
    /// Opaque name of whom answers reach, and of who may ask for the proof of what it received: the system, whoever sits at it, or the citizen at one app.
    /// </summary>
    public string Receiver => Kind == RequesterKind.Citizen ? Caller : System;

    /// <summary>What one tenant of a host was given is none of another's.</summary>
    private string System => Subscriber is null ? ClientId : $"{ClientId}@{Organisation}";

    /// <summary>The gateway by itself: it asks what a record says of retention, of disputes, and is shown no data.</summary>
    /// <param name="client">What of it asks; names nobody.</param>
    public static Requester OfGateway(GatewayOptions options, string client, DateTimeOffset now) => new()
    {
        Kind = RequesterKind.System,
        ClientId = client,
        Organisation = Oid.Parse(options.NationalOrganisation),
        OrganisationName = client,
        ControllerKind = ControllerKind.Public,
        PurposeOfUse = "HSYSADMIN",
        TokenId = client,
        Scopes = [],
        Expires = now.AddMinutes(1),
    };

    /// <summary>Names nobody, so that no log line can by accident.</summary>
    public override string ToString() => $"Requester({Kind}, {ClientId})";
}

/// <summary>An organisation that has joined with its system and asks for others.</summary>
public sealed record Subscriber(Oid Organisation, string Name);

/// <summary>Set on <c>HttpContext.Features</c> by step 1.</summary>
public interface IRequesterFeature
{
    Requester Requester { get; }
}

/// <inheritdoc />
public sealed record RequesterFeature(Requester Requester) : IRequesterFeature;
