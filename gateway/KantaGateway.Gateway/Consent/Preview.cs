using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Gateway.Consent;

/// <summary>Those of whom a person is told what they would see.</summary>
public enum Viewer
{
    /// <summary>A professional of broad care of some other provider, while it treats the person.</summary>
    Treating,

    /// <summary>The same, who has recorded an emergency.</summary>
    InEmergency,

    /// <summary>A professional of broad care of a public provider of Uusimaa, while it treats the person (§54.1).</summary>
    Joint,
}

/// <summary>A professional of whom a person asks what they see, and why.</summary>
/// <param name="Organisation">Null: some other provider.</param>
/// <param name="Kind">What kind of controller the organisation is.</param>
/// <param name="Tasks">Bounds what is reached (decree 457/2024 §3).</param>
/// <param name="IsEmergency">Has recorded an emergency.</param>
/// <param name="IsTreating">Assumes that the organisation treats the person; false: only where its open service events prove it.</param>
public sealed record Onlooker(Oid? Organisation, ControllerKind Kind, TaskClass Tasks, bool IsEmergency, bool IsTreating)
{
    /// <summary>As the role register writes it: of which speciality the documents are its own (decree §6); null: not said.</summary>
    public string? Profession { get; init; }

    /// <inheritdoc cref="Requester.Services"/>
    public HealthServices Services { get; init; } = HealthServices.Reception;

    /// <inheritdoc cref="Requester.Unit"/>
    public string? Unit { get; init; }

    /// <inheritdoc cref="Requester.OwnServices"/>
    public ProtectedService OwnServices { get; init; }

    /// <inheritdoc cref="Requester.JointWith"/>
    public IReadOnlyList<string> JointWith { get; init; } = [];

    /// <param name="viewer">Who.</param>
    /// <param name="joint">The controllers that need no permission among each other.</param>
    public static Onlooker Of(Viewer viewer, IReadOnlyList<string> joint) => new(null, viewer == Viewer.Joint ? ControllerKind.Public : ControllerKind.Private, TaskClass.BroadCare,
        viewer == Viewer.InEmergency, IsTreating: true) { JointWith = viewer == Viewer.Joint ? joint : [] };
}

/// <summary>Who would see what, if something were declared: the very decision of a request, about somebody made up.</summary>
/// <remarks>Pure. That the scope is also what the repository enforces is one code: it is asked with these scopes (Act 703/2023 §58, EHDS Art. 8: the person is told what a restriction means).</remarks>
public static class Preview
{
    /// <summary>Organisation of nobody: an OID of the arc for examples (ITU-T X.660, 2.999).</summary>
    private static readonly Oid Nobody = Oid.Parse("2.999.1");

    private const string Professional = "preview";

    private static readonly IReadOnlyList<SmartScope> Scopes = SmartScope.ParseAll(["user/*.rs"]);

    private static readonly Interaction Everything = new()
    { Kind = InteractionKind.Everything, Type = "Patient", Compartment = Pseudonym.Nobody, Needs = [("Patient", 'r')] };

    /// <summary>What a viewer would be permitted under a policy.</summary>
    /// <param name="viewer">Who.</param>
    /// <param name="policy">As it is, or <see cref="PolicySnapshot.With"/> what is about to be declared.</param>
    /// <param name="now">UTC.</param>
    /// <param name="joint">The controllers that need no permission among each other.</param>
    public static Decision.Permit Of(Viewer viewer, PolicySnapshot policy, DateTimeOffset now, IReadOnlyList<string>? joint = null) =>
        // Nobody's organisation is refused nothing: it has its own register at least, which is empty.
        (Decision.Permit)Of(Onlooker.Of(viewer, joint ?? []), policy, now);

    /// <summary>What a professional would be answered under a policy.</summary>
    /// <param name="onlooker">Who; it has confirmed nothing, and recorded no emergency but the assumed one.</param>
    /// <param name="policy">As it is, or <see cref="PolicySnapshot.With"/> what is about to be declared.</param>
    /// <param name="now">UTC.</param>
    public static Decision Of(Onlooker onlooker, PolicySnapshot policy, DateTimeOffset now)
    {
        var organisation = onlooker.Organisation ?? Nobody;
        var requester = new Requester
        {
            Kind = RequesterKind.Professional,
            ClientId = Professional,
            Organisation = organisation,
            OrganisationName = Professional,
            ControllerKind = onlooker.Kind,
            ProfessionalId = Professional,
            Profession = onlooker.Profession,
            Tasks = onlooker.Tasks,
            Services = onlooker.Services,
            Unit = onlooker.Unit,
            OwnServices = onlooker.OwnServices,
            JointWith = onlooker.JointWith,
            PurposeOfUse = onlooker.IsEmergency ? "ETREAT" : "TREAT",
            TokenId = Professional,
            Scopes = Scopes,
            Expires = DateTimeOffset.MaxValue,
        };
        if (onlooker.IsEmergency)
            policy = policy.With(new EmergencyAccess
            {
                At = now,
                Until = now + EmergencyAccess.MaxLength,
                Professional = Professional,
                Organisation = organisation.ToString(),
                Reason = EmergencyReason.CannotBeAsked,
            });
        var relationship = policy.RelationshipOf(organisation.ToString(), null, now, onlooker.Unit) ?? (onlooker.IsTreating ? new(organisation.ToString(), null) : null);
        return ConsentDecision.Decide(requester, Everything, policy, relationship, now);
    }
}
