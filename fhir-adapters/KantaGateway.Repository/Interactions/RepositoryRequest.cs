using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Validation;
using KantaGateway.Repository.Compartments;

namespace KantaGateway.Repository.Interactions;

/// <summary>Who asks for what part of which compartment, as the gateway has signed it.</summary>
/// <param name="Held">Grant for the compartment that the request is about.</param>
/// <param name="Directory">Grant for the shared directory; null where the gateway sent none.</param>
/// <param name="Base">Public FHIR base, no trailing slash.</param>
sealed record RepositoryRequest(HeldGrant Held, HeldGrant? Directory, string Base)
{
    /// <summary>What the caller reads.</summary>
    public OutcomeLanguage Language { get; init; }

    /// <summary>The client's policy on profiles that are not known; the gateway says so in <see cref="Fhir.Transport.InternalHeaders.UnknownProfiles"/>.</summary>
    public UnknownProfiles UnknownProfiles { get; init; }

    public Grant Grant => Held.Grant;

    public DisclosureScope Scope => Held.Grant.Scope;

    public Pseudonym Compartment => Held.Grant.Compartment;

    /// <summary>How much of a compartment is to be opened for what needs headers alone: filters look at the whole entry.</summary>
    public IndexDepth LeastDepth => Scope.HasFilters || Directory?.Grant.Scope.HasFilters is true ? IndexDepth.Entries : IndexDepth.Headers;

    /// <exception cref="FaultException">The grant is for something else.</exception>
    public void Require(params ReadOnlySpan<GrantUse> uses)
    {
        if (!uses.Contains(Grant.Use))
            throw new FaultException(new Fault(FaultKind.Denied, "The grant does not cover this interaction."));
    }

    /// <summary>The decision that the grant carries rests on a policy version; it holds in this view or not at all (law 3). One about an own register may rest on none, unless that may be closed too.</summary>
    /// <exception cref="AskAnewException">The policy has another version in the view, or has to be looked at.</exception>
    public void RequirePolicy(CompartmentView view)
    {
        if (Grant.PolicyVersion is { } decided ? decided != view.PolicyVersion : Scope.Breadth == Breadth.OwnRegister && view.HasRestrictions)
            throw new AskAnewException(view.PolicyVersion);
    }
}
