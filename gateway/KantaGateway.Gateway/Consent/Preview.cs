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
    public static Decision.Permit Of(Viewer viewer, PolicySnapshot policy, DateTimeOffset now)
    {
        var requester = new Requester
        {
            Kind = RequesterKind.Professional,
            ClientId = Professional,
            Organisation = Nobody,
            OrganisationName = Professional,
            ControllerKind = ControllerKind.Private,
            ProfessionalId = Professional,
            Tasks = TaskClass.BroadCare,
            PurposeOfUse = viewer == Viewer.InEmergency ? "ETREAT" : "TREAT",
            TokenId = Professional,
            Scopes = Scopes,
            Expires = DateTimeOffset.MaxValue,
        };
        if (viewer == Viewer.InEmergency)
            policy = policy.With(new EmergencyAccess
            {
                At = now,
                Until = now + EmergencyAccess.MaxLength,
                Professional = Professional,
                Organisation = Nobody.ToString(),
                Reason = EmergencyReason.CannotBeAsked,
            });
        return (Decision.Permit)ConsentDecision.Decide(requester, Everything, policy, new(Nobody.ToString(), null), now);
    }

}
