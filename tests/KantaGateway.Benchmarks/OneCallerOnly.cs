using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Benchmarks;

/// <summary>
/// Makes a gateway that identifies nobody after the first: all the others are taken for that caller, and nothing of them is looked at. It shows what
/// identification costs, and is no part of the product.
/// </summary>
sealed class OneCallerOnly : IServiceProviderFactory<IServiceCollection>
{
    public IServiceCollection CreateBuilder(IServiceCollection services) => services;

    public IServiceProvider CreateServiceProvider(IServiceCollection services)
    {
        // The other parts of the process identify nobody anyway.
        if (services.LastOrDefault(service => service.ServiceType == typeof(IIdentification)) is { ImplementationType: { } product })
            services.AddSingleton(product).AddSingleton<IIdentification>(provider => new Taken((IIdentification)provider.GetRequiredService(product)));
        return services.BuildServiceProvider();
    }

    private sealed class Taken(IIdentification product) : IIdentification
    {
        private volatile Requester? _caller;

        public ValueTask<(Requester? Requester, Fault? Fault)> IdentifyAsync(HttpContext context) => _caller is { } caller ? new((caller, null)) : FirstAsync(context);

        public Requester? PortalRequester(HttpContext context) => product.PortalRequester(context);

        private async ValueTask<(Requester? Requester, Fault? Fault)> FirstAsync(HttpContext context)
        {
            var first = await product.IdentifyAsync(context);
            // Longer than any measurement.
            _caller = first.Requester is { } requester ? requester with { Expires = DateTimeOffset.UtcNow.AddDays(1) } : null;
            return first;
        }
    }
}
