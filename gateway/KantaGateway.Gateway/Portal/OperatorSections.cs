using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Portal;

/// <summary>A link that stands on every page of operators.</summary>
/// <param name="Text">Key of its name.</param>
/// <param name="Roles">Who has one of them is shown it.</param>
/// <param name="IsThere">Whether this gateway has it.</param>
internal sealed record OperatorSection(string Address, string Text, IReadOnlyList<OperatorRole> Roles, Func<GatewayOptions, bool> IsThere)
{
    public bool IsFor(Operator who, GatewayOptions options) => IsThere(options) && Roles.Any(who.Roles.Contains);
}

/// <summary>What every page of operators leads to.</summary>
internal static class OperatorSections
{
    /// <summary>In this order.</summary>
    public static readonly IReadOnlyList<OperatorSection> All =
    [
        new(OperatorSignIn.HomePath, "operator.home.title", [OperatorRole.Onboarding], static _ => true),
        new(Pages.OperatorCasesModel.Address, "operator.cases.title", [OperatorRole.DataProtection], static options => options.Breach is not null),
        new(Pages.OperatorEmergenciesModel.Address, "operator.emergencies.title", [OperatorRole.DataProtection], static _ => true),
        new(Pages.OperatorCeremoniesModel.Address, "operator.ceremonies.title", [OperatorRole.Keys, OperatorRole.DataProtection], static _ => true),
        new(Pages.OperatorContainedModel.Address, "operator.contained.title", Enum.GetValues<OperatorRole>(), static _ => true),
        new(Pages.OperatorReportModel.Address, "operator.report.title", Enum.GetValues<OperatorRole>(), static options => options.Breach is not null),
        new(Pages.OperatorStandingModel.Address, "operator.standing.title", Enum.GetValues<OperatorRole>(), static _ => true),
        new(Pages.OperatorLogModel.Address, "operator.log.title", Enum.GetValues<OperatorRole>(), static _ => true),
    ];

    /// <summary>Where somebody begins.</summary>
    public static string FirstFor(Operator who, GatewayOptions options) => All.First(section => section.IsFor(who, options)).Address;
}
